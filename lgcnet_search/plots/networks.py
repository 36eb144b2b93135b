"""Searched networks as graphs, an edge's colour for its kind of operation (Figs. 5, 8 to 11)."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from lgcnet_search.plots.figures import saved
from lgcnet_search.space.candidates import CANDIDATES

Point = tuple[float, float]


_CELL_NODES: dict[str, Point] = {"i1": (0, 1), "i2": (0, 0), "x1": (1.15, 1), "x2": (2.2, 0), "out": (3.1, 0.5)}

# Where on each edge its label is drawn (0 is the source), so that the labels of crossing edges stay apart.
_CELL_LABELS = {"i1-x1": 0.5, "i2-x1": 0.3, "i1-x2": 0.66, "i2-x2": 0.42, "x1-x2": 0.42}

_FUSION_NODES: dict[str, Point] = {
    "l_in": (0, 2),
    "m_in": (0, 1),
    "h_in": (0, 0),
    "l_mid": (2, 2),
    "m_mid": (2, 1),
    "h_mid": (2, 0),
    "l_final": (4, 2),
    "m_final": (4, 1),
    "h_final": (4, 0),
    "h_up": (5.2, 0.6),
    "sum": (6, 2),
}

_ALARM = "#c81e1e"

_NODE_NAMES = {"h_up": "×2", "sum": "+"}


def searched_cells(
    choices: Mapping[str, str],
    path: Path,
    title: str = "",
    *,
    fused: Collection[str] = (),
    undecided: Collection[str] = (),
    constant: Collection[int] = (),
) -> Path:
    """All cells as graphs (Figs. 9 to 11), by edge name ("cell3.i1-x2"), as `Genotype.choices`.

    Edges in `undecided` have a question mark; the names of those in `fused`, which are executed in one kernel with
    other operations, are boxed; the cells in `constant`, whose output is constant, are marked.
    """
    cells: dict[int, dict[str, str]] = {}
    for edge, candidate in choices.items():
        cell, _, name = edge.partition(".")
        if cell.startswith("cell"):
            cells.setdefault(int(cell[4:]), {})[name] = candidate
    columns = min(4, len(cells))
    rows = -(-len(cells) // columns)
    figure = Figure(figsize=(4.1 * columns, 2.05 * rows + 0.9), dpi=110)
    for panel, (number, edges) in enumerate(sorted(cells.items())):
        axes = figure.add_subplot(rows, columns, panel + 1)
        is_constant = number in constant
        axes.set_title(
            f"cell {number}: constant output" if is_constant else f"cell {number}",
            loc="left",
            fontsize=10,
            color=_ALARM if is_constant else "black",
        )
        _graph_axes(axes, (-0.3, 3.4), (-0.42, 1.42))
        for name in ("x1", "x2"):
            _arrow(axes, _CELL_NODES[name], _CELL_NODES["out"], "#c8c8c8", light=False, width=1.0)
        for name, candidate in edges.items():
            edge = f"cell{number}.{name}"
            _edge(axes, edge, _CELL_NODES, candidate, _CELL_LABELS[name], edge in undecided, edge in fused)
        for name, at in _CELL_NODES.items():
            _node(axes, name, at, filled=name.startswith("x"), alarm=is_constant and name == "out")
    _kind_legend(
        figure,
        [candidate for edges in cells.values() for candidate in edges.values()],
        undecided=any(name in choices for name in undecided if name.startswith("cell")),
        boxed=any(name in choices for name in fused if name.startswith("cell")),
    )
    return saved(figure, path, title, bottom=0.62 / (2.05 * rows + 0.9))


def fusion_cell(
    choices: Mapping[str, str],
    path: Path,
    title: str = "",
    *,
    fused: Collection[str] = (),
    undecided: Collection[str] = (),
) -> Path:
    """The dense-connected fusion cell (Figs. 5, 8): nine nodes, 13 edges, and the sum; edges are marked as above."""
    edges = {name.partition(".")[2]: candidate for name, candidate in choices.items() if name.startswith("fusion.")}
    figure = Figure(figsize=(10.5, 4.8), dpi=110)
    axes = figure.add_subplot()
    _graph_axes(axes, (-0.8, 6.4), (-0.45, 2.45))
    for branch, text in (("l_in", "fine"), ("m_in", "middle"), ("h_in", "coarse")):
        x, y = _FUSION_NODES[branch]
        axes.text(x - 0.35, y, text, ha="right", va="center", fontsize=9, color="#555555")
    for name, candidate in edges.items():
        edge = f"fusion.{name}"
        _edge(axes, edge, _FUSION_NODES, candidate, 0.47, edge in undecided, edge in fused)
    _arrow(axes, _FUSION_NODES["l_final"], _FUSION_NODES["sum"], "#c8c8c8", light=False, width=1.0, gaps=(22, 12))
    for name, at in _FUSION_NODES.items():
        _node(axes, _NODE_NAMES.get(name, name.replace("_", " ")), at, filled=name not in _NODE_NAMES)
    _kind_legend(
        figure,
        edges.values(),
        undecided=any(name.startswith("fusion.") for name in undecided),
        boxed=any(name.startswith("fusion.") for name in fused),
    )
    return saved(figure, path, title, bottom=0.12)


def _graph_axes(axes: Axes, x: Point, y: Point) -> None:
    axes.set_xlim(*x)
    axes.set_ylim(*y)
    axes.set_axis_off()


def _node(axes: Axes, name: str, at: Point, filled: bool, alarm: bool = False) -> None:
    edge_color = _ALARM if alarm else "#333333"
    box = {"boxstyle": "round,pad=0.28", "facecolor": "#dbe7f3" if filled else "white", "edgecolor": edge_color}
    axes.text(*at, name, ha="center", va="center", fontsize=9, bbox=box, zorder=4)


def _arrow(
    axes: Axes,
    start: Point,
    end: Point,
    color: str,
    light: bool,
    width: float = 1.7,
    gaps: tuple[float, float] = (11, 13),
) -> FancyArrowPatch:
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=11,
        color=color,
        linewidth=width,
        linestyle=(0, (4, 2.5)) if light else "solid",
        shrinkA=gaps[0],
        shrinkB=gaps[1],
        zorder=2,
    )
    axes.add_patch(arrow)
    return arrow


def _edge(
    axes: Axes, name: str, nodes: Mapping[str, Point], candidate: str, label_at: float, undecided: bool, boxed: bool
) -> None:
    """Draw edge "cell.source-target"; the arrow has its name as id, so that an SVG can be searched for it."""
    kind, text = CANDIDATES[candidate].kind, CANDIDATES[candidate].label + (" ?" if undecided else "")
    source, _, target = name.partition(".")[2].partition("-")
    start, end = nodes[source], nodes[target]
    # Room for the boxes at both ends, in points.
    gaps = (5 + 2.6 * len(_NODE_NAMES.get(source, source)), 8 + 2.6 * len(_NODE_NAMES.get(target, target)))
    _arrow(axes, start, end, kind.color, kind.light, gaps=gaps).set_gid(name)
    x, y = (start[axis] + (end[axis] - start[axis]) * label_at for axis in (0, 1))
    box = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": kind.color if boxed else "none"}
    axes.text(x, y, text, ha="center", va="center", fontsize=8, color=kind.color, bbox=box, zorder=3)


def _kind_legend(figure: Figure, candidates: Iterable[str], *, undecided: bool, boxed: bool) -> None:
    shown = {CANDIDATES[candidate].kind for candidate in candidates}
    kinds = [kind for kind in dict.fromkeys(candidate.kind for candidate in CANDIDATES.values()) if kind in shown]
    lines = [
        Line2D(
            [], [], color=kind.color, linewidth=1.7, linestyle=(0, (4, 2.5)) if kind.light else "solid", label=kind.name
        )
        for kind in kinds
    ]
    if boxed:
        label = "boxed: in one kernel with others"
        lines.append(
            Line2D([], [], marker="s", markerfacecolor="white", markeredgecolor="#333333", linestyle="", label=label)
        )
    if undecided:
        lines.append(Line2D([], [], linestyle="none", marker="$?$", color="#333333", label="undecided"))
    if lines:
        figure.legend(handles=lines, loc="lower center", ncols=min(len(lines), 6), frameon=False, fontsize=9)
