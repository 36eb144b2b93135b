"""Pictures of searched networks, of searches, and of latencies; drawn without a display, PNG or SVG by the suffix.

Every function takes data and a path and returns the path. Nothing here touches pyplot's global state.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox

from lut_server.schemas import LatencyTable, OperationSpec


class Kind(NamedTuple):
    """How the edges of one kind of operation are drawn; light ones (zero, skip, pooling) are dashed, as in Fig. 9."""

    name: str
    color: str
    light: bool = False


LIGHT = Kind("zero, skip, max pooling", "#7a7a7a", light=True)
CONVOLUTION = Kind("convolution", "#1f6fb4")
SEPARABLE = Kind("separable convolution", "#e08214")
DILATED = Kind("dilated separable, 2", "#9467bd")
LARGE = Kind("dilated separable, 4 to 12", "#2a9d3a")
POOLING = Kind("global pooling", "#c2377f")
DECONVOLUTION = Kind("deconvolution", "#b3312c")
INTERPOLATION = Kind("interpolation", "#17a2b8")

Place = tuple[float, float]

_CELL_NODES: dict[str, Place] = {"i1": (0, 1), "i2": (0, 0), "x1": (1.15, 1), "x2": (2.2, 0), "out": (3.1, 0.5)}

# Where on each edge its name stands (0 is the source), so that the names of crossing edges stay apart.
_CELL_LABELS = {"i1-x1": 0.5, "i2-x1": 0.3, "i1-x2": 0.66, "i2-x2": 0.42, "x1-x2": 0.42}

_FUSION_NODES: dict[str, Place] = {
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

_NODE_NAMES = {"h_up": "×2", "sum": "+"}


def kind_of(candidate: str) -> Kind:
    """The kind of a candidate of Table II or III or of an Up×2 edge; KeyError for another name."""
    name, _, dilation = candidate.partition("_d")
    if name == "dil_conv_3x3":
        return DILATED if dilation == "2" else LARGE
    kinds = {
        "zero": LIGHT,
        "skip": LIGHT,
        "max_pool_3x3": LIGHT,
        "conv_1x1": CONVOLUTION,
        "conv_3x3": CONVOLUTION,
        "sep_conv_3x3": SEPARABLE,
        "global_pool": POOLING,
        "deconv_3x3": DECONVOLUTION,
        "interpolate": INTERPOLATION,
    }
    return kinds["global_pool" if candidate.startswith("global_pool_") else candidate]


def short_name(candidate: str) -> str:
    """What stands on an edge: "dil 4" for dil_conv_3x3_d4."""
    name = candidate.replace("dil_conv_3x3_d", "dil ").replace("global_pool_", "pool ")
    names = {"max_pool_3x3": "max", "conv_3x3": "conv 3", "conv_1x1": "conv 1", "sep_conv_3x3": "sep"}
    return {**names, "deconv_3x3": "deconv", "interpolate": "interp"}.get(name, name)


def searched_cells(choices: Mapping[str, str], path: Path, title: str = "") -> Path:
    """All cells as graphs (Figs. 9 to 11), by edge name ("cell3.i1-x2"), as `Genotype.choices`."""
    cells: dict[int, dict[str, str]] = {}
    for edge, candidate in choices.items():
        cell, _, name = edge.partition(".")
        if cell.startswith("cell"):
            cells.setdefault(int(cell[4:]), {})[name] = candidate
    columns = min(4, len(cells))
    rows = -(-len(cells) // columns)
    figure = Figure(figsize=(4.1 * columns, 2.05 * rows + 0.9), dpi=110)
    for place, (number, edges) in enumerate(sorted(cells.items())):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.set_title(f"cell {number}", loc="left", fontsize=10)
        _graph_axes(axes, (-0.3, 3.4), (-0.42, 1.42))
        for name in ("x1", "x2"):
            _arrow(axes, _CELL_NODES[name], _CELL_NODES["out"], "#c8c8c8", light=False, width=1.0)
        for name, candidate in edges.items():
            _edge(axes, f"cell{number}.{name}", _CELL_NODES, candidate, _CELL_LABELS[name])
        for name, at in _CELL_NODES.items():
            _node(axes, name, at, filled=name.startswith("x"))
    _kind_legend(figure, [candidate for edges in cells.values() for candidate in edges.values()])
    return _saved(figure, path, title, bottom=0.62 / (2.05 * rows + 0.9))


def fusion_cell(choices: Mapping[str, str], path: Path, title: str = "") -> Path:
    """The dense-connected fusion cell (Figs. 5, 8): nine nodes, 13 edges, and the sum."""
    edges = {name.partition(".")[2]: candidate for name, candidate in choices.items() if name.startswith("fusion.")}
    figure = Figure(figsize=(10.5, 4.8), dpi=110)
    axes = figure.add_subplot()
    _graph_axes(axes, (-0.8, 6.4), (-0.45, 2.45))
    for branch, text in (("l_in", "fine"), ("m_in", "middle"), ("h_in", "coarse")):
        x, y = _FUSION_NODES[branch]
        axes.text(x - 0.35, y, text, ha="right", va="center", fontsize=9, color="#555555")
    for name, candidate in edges.items():
        _edge(axes, f"fusion.{name}", _FUSION_NODES, candidate, 0.47)
    _arrow(axes, _FUSION_NODES["l_final"], _FUSION_NODES["sum"], "#c8c8c8", light=False, width=1.0, gaps=(22, 12))
    for name, at in _FUSION_NODES.items():
        _node(axes, _NODE_NAMES.get(name, name.replace("_", " ")), at, filled=name not in _NODE_NAMES)
    _kind_legend(figure, edges.values())
    return _saved(figure, path, title, bottom=0.12)


def search_curves(
    path: Path,
    *,
    cross_entropy: Sequence[float],
    latency_us: Sequence[float],
    temperature: Sequence[float],
    entropy: Sequence[float],
    title: str = "",
) -> Path:
    """How a search went, one value a step; the noisy ones also as a running mean. Entropy is in nats."""
    figure = Figure(figsize=(10, 6), dpi=110)
    panels = (
        ("cross-entropy", cross_entropy, 1.0),
        ("LAT, ms", latency_us, 1e-3),
        ("temperature λ", temperature, 1.0),
        ("entropy of the edges, nats", entropy, 1.0),
    )
    for place, (name, values, unit) in enumerate(panels):
        axes = figure.add_subplot(2, 2, place + 1)
        scaled = np.asarray(values, dtype=float) * unit
        steps = np.arange(len(scaled))
        window = len(scaled) // 25
        noisy = place < 2 and window > 1
        axes.plot(steps, scaled, color="#1f6fb4", alpha=0.3 if noisy else 1.0, linewidth=1.0 if noisy else 1.8)
        if noisy:
            mean = np.convolve(scaled, np.ones(window) / window, mode="valid")
            axes.plot(steps[window // 2 :][: len(mean)], mean, color="#1f6fb4", linewidth=1.8)
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        _plain(axes)
    return _saved(figure, path, title)


class Prediction(NamedTuple):
    """One network or operation: predicted, and measured with its 95 % interval, microseconds."""

    name: str
    predicted_us: float
    measured_us: float
    low_us: float
    high_us: float


def predicted_against_measured(points: Sequence[Prediction], path: Path, title: str = "") -> Path:
    """Predicted over measured latency with interval bars; bands of ±5 % and ±10 % around equality."""
    figure = Figure(figsize=(6.6, 7.8), dpi=110)
    axes, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    values = np.array([point[1:] for point in points], dtype=float) / 1000
    predicted, measured = values[:, 0], values[:, 1]
    low, high = float(values.min()) * 0.88, float(values.max()) * 1.12
    line = np.array([low, high])
    for share, shade in ((0.10, "#e9eef4"), (0.05, "#cfdcea")):
        axes.fill_between(line, line * (1 - share), line * (1 + share), color=shade, linewidth=0, label=f"±{share:.0%}")
        below.axhspan(-100 * share, 100 * share, color=shade, linewidth=0)
    axes.plot(line, line, color="#7a8794", linewidth=1)
    below.axhline(0, color="#7a8794", linewidth=1)
    bars = np.stack([measured - values[:, 2], values[:, 3] - measured])
    error = 100 * (predicted / measured - 1)
    for panel, y in ((axes, predicted), (below, error)):
        panel.errorbar(measured, y, xerr=bars, fmt="o", color="#1f6fb4", markersize=5, capsize=2)
        _plain(panel)
    if high > 5 * low:
        _logarithmic(axes)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    worst = max(12.0, 1.15 * float(np.abs(error).max()))
    below.set_ylim(-worst, worst)
    below.set_xlabel("measured, ms")
    below.set_ylabel("error, %")
    axes.set_ylabel("predicted, ms")
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    saved = _saved(figure, path, title)
    if len(points) <= 15:
        places = list(zip(measured.tolist(), predicted.tolist(), strict=True))
        ends = [
            (x, y) for (_, y), row in zip(places, values, strict=True) for x in np.linspace(row[2], row[3], 7).tolist()
        ]
        _label(figure, axes, places, [point.name for point in points], ends)
        figure.savefig(path)
    return saved


class Result(NamedTuple):
    """A network's accuracy and latency; results of one `series` share a colour."""

    name: str
    latency_ms: float
    miou_percent: float
    series: str = ""


def accuracy_against_latency(
    points: Sequence[Result], path: Path, title: str = "", *, sweeps: Collection[str] = ()
) -> Path:
    """mIoU over latency (Figs. 1 and 7); the series in `sweeps` are joined by lines."""
    figure = Figure(figsize=(7.4, 5.2), dpi=110)
    axes = figure.add_subplot()
    series = list(dict.fromkeys(point.series for point in points))
    drawn: list[Place] = []
    colors = ("#1f6fb4", "#e08214", "#2a9d3a", "#c2377f", "#9467bd", "#7a7a7a")
    for place, name in enumerate(series):
        members = sorted((point for point in points if point.series == name), key=lambda point: point.latency_ms)
        places = [(point.latency_ms, point.miou_percent) for point in members]
        color = colors[place % len(colors)]
        axes.plot(
            *zip(*places, strict=True),
            "o-" if name in sweeps else "o",
            color=color,
            markersize=6,
            linewidth=1.4,
            label=name or None,
        )
        for start, end in pairwise(places if name in sweeps else []):
            drawn.extend((x, y) for x, y in np.linspace(start, end, 25).tolist())
    axes.margins(0.12)
    axes.set_xlabel("latency, ms")
    axes.set_ylabel("mIoU, %")
    _plain(axes)
    if any(series):
        axes.legend(loc="lower right", frameon=False, fontsize=9)
    figure.tight_layout()
    places = [(point.latency_ms, point.miou_percent) for point in points]
    _label(figure, axes, places, [point.name for point in points], drawn)
    return _saved(figure, path, title)


def latency_heatmap(latencies_us: Mapping[tuple[str, str], float], path: Path, title: str = "") -> Path:
    """Latencies as operations (sorted) × resolutions (in the order given); what the table does not have stays white."""
    operations = sorted({operation for operation, _ in latencies_us}, key=_natural)
    resolutions = list(dict.fromkeys(resolution for _, resolution in latencies_us))
    grid = np.full((len(operations), len(resolutions)), np.nan)
    for (operation, resolution), value in latencies_us.items():
        grid[operations.index(operation), resolutions.index(resolution)] = value
    width, height = 3.2 + 0.82 * len(resolutions), 1.9 + 0.27 * len(operations)
    figure = Figure(figsize=(width, height), dpi=110)
    axes = figure.add_subplot()
    low, high = float(np.nanmin(grid)), float(np.nanmax(grid))
    scale = LogNorm(low, high * (1 + 1e-9))
    image = axes.imshow(grid, cmap="viridis", norm=scale, aspect="auto")
    for row, column in np.argwhere(~np.isnan(grid)):
        value = float(grid[row, column])
        color = "white" if scale(value) < 0.6 else "black"
        axes.text(column, row, _microseconds(value), ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(resolutions)), resolutions, rotation=35, ha="right", fontsize=8)
    axes.set_yticks(range(len(operations)), operations, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.015)
    bar.set_label("µs", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return _saved(figure, path, title)


def heatmap_cells(table: LatencyTable) -> dict[tuple[str, str], float]:
    """A table's medians by operation and input (channels × height × width), fine inputs first."""
    rows = sorted(table.rows, key=lambda row: _input_order(row.operation))
    labels = Counter((_operation_label(row.operation), _input_label(row.operation)) for row in rows)
    cells: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (_operation_label(row.operation), _input_label(row.operation))
        # Two operations that differ in what the label leaves out are two rows.
        full = f"{row.operation.name} {dict(row.operation.params)} {row.operation.input_shapes[1:]}"
        cells[(full, key[1]) if labels[key] > 1 else key] = row.latency.median_us
    return cells


def _operation_label(operation: OperationSpec) -> str:
    """The name with what changes: a stride, a dilation, other channels, another resolution."""
    channels, *spatial = operation.input_shapes[0]
    words = [operation.name]
    for name, value in operation.params:
        if name == "out_channels" and value != channels:
            words.append(f"→{value}")
        elif name == "stride" and value != 1:
            words.append(f"/{value}")
        elif name == "height" and spatial and isinstance(value, int) and value != spatial[0]:
            words.append(f"×{round(value / spatial[0])}" if value > spatial[0] else f"/{round(spatial[0] / value)}")
        elif name not in ("out_channels", "stride", "height", "width"):
            words.append(f"{name} {value}")
    return " ".join(words)


def _input_label(operation: OperationSpec) -> str:
    return "×".join(map(str, operation.input_shapes[0]))


def _input_order(operation: OperationSpec) -> tuple[int, ...]:
    channels, *spatial = operation.input_shapes[0]
    return (*(-length for length in spatial), channels)


def _natural(text: str) -> list[tuple[int, str]]:
    """Sorts "dilation 12" behind "dilation 4"."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", text)]


def _microseconds(value: float) -> str:
    if value >= 99_950:
        return f"{value / 1000:.0f}k"
    if value >= 9_995:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def _graph_axes(axes: Axes, x: Place, y: Place) -> None:
    axes.set_xlim(*x)
    axes.set_ylim(*y)
    axes.set_axis_off()


def _node(axes: Axes, name: str, at: Place, filled: bool) -> None:
    box = {"boxstyle": "round,pad=0.28", "facecolor": "#dbe7f3" if filled else "white", "edgecolor": "#333333"}
    axes.text(*at, name, ha="center", va="center", fontsize=9, bbox=box, zorder=4)


def _arrow(
    axes: Axes,
    start: Place,
    end: Place,
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


def _edge(axes: Axes, name: str, nodes: Mapping[str, Place], candidate: str, label_at: float) -> None:
    """Draw edge "cell.source-target"; the arrow bears its name, so that an SVG can be searched for it."""
    kind = kind_of(candidate)
    source, _, target = name.partition(".")[2].partition("-")
    start, end = nodes[source], nodes[target]
    # Room for the boxes at both ends, in points.
    gaps = (5 + 2.6 * len(_NODE_NAMES.get(source, source)), 8 + 2.6 * len(_NODE_NAMES.get(target, target)))
    _arrow(axes, start, end, kind.color, kind.light, gaps=gaps).set_gid(name)
    x, y = (start[axis] + (end[axis] - start[axis]) * label_at for axis in (0, 1))
    box = {"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"}
    axes.text(x, y, short_name(candidate), ha="center", va="center", fontsize=8, color=kind.color, bbox=box, zorder=3)


def _kind_legend(figure: Figure, candidates: Iterable[str]) -> None:
    kinds = list(dict.fromkeys(kind_of(candidate) for candidate in candidates))
    everything = (LIGHT, CONVOLUTION, SEPARABLE, DILATED, LARGE, POOLING, DECONVOLUTION, INTERPOLATION)
    lines = [
        Line2D(
            [], [], color=kind.color, linewidth=1.7, linestyle=(0, (4, 2.5)) if kind.light else "solid", label=kind.name
        )
        for kind in everything
        if kind in kinds
    ]
    if lines:
        figure.legend(handles=lines, loc="lower center", ncols=min(len(lines), 6), frameon=False, fontsize=9)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#ebebeb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _label(
    figure: Figure, axes: Axes, points: Sequence[Place], names: Sequence[str], drawn: Sequence[Place] = ()
) -> None:
    """Name points, each beside its own and, where there is room, clear of the others and of what is `drawn`."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw(renderer)
    pixels = [tuple(axes.transData.transform(point)) for point in points]
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in pixels]
    taken += [Bbox.from_bounds(x - 2, y - 2, 4, 4) for x, y in map(axes.transData.transform, drawn)]
    legend = axes.get_legend()
    if legend:
        taken.append(legend.get_window_extent(renderer))
    frame = axes.get_window_extent(renderer)
    for (x, y), point, name in zip(pixels, points, names, strict=True):
        text = axes.annotate(name, point, (0, 0), textcoords="offset pixels", fontsize=8, va="center", zorder=5)
        size = text.get_window_extent(renderer)
        spots = [
            (dx * reach - size.width * (1 - dx) / 2, dy * (reach + size.height / 2))
            for reach in (9, 16, 26, 40)
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 0.7), (1, -0.7), (-1, 0.7), (-1, -0.7))
        ]
        boxes = [
            Bbox.from_bounds(x + left, y + middle - size.height / 2, size.width, size.height) for left, middle in spots
        ]
        faults = [
            sum(box.overlaps(other) for other in taken) + 5 * (box.x0 < frame.x0) + 5 * (box.x1 > frame.x1 + 40)
            for box in boxes
        ]
        best = faults.index(min(faults))
        text.set_position(spots[best])
        taken.append(boxes[best])


def _saved(figure: Figure, path: Path, title: str, bottom: float = 0.0) -> Path:
    if title:
        figure.suptitle(title, fontsize=12)
    figure.tight_layout(rect=(0, bottom, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
