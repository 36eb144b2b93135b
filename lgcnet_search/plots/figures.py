"""What all pictures share."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLORS = ("#1f6fb4", "#e08214", "#2a9d3a", "#7a7a7a", "#c2377f", "#9467bd")
"""Of series, in their order."""
LARGEST, SMALLEST = 12, 7
"""Points of a title."""
TITLE_BELOW_IN = 0.12
"""Inches between it and the figure's edge."""


def plain(axes: Axes) -> None:
    """A light grid behind the values, no frame."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#ebebeb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def saved(figure: Figure, path: Path, title: str, bottom: float = 0.0) -> Path:
    arrange(figure, title, bottom)
    return written(figure, path)


def arrange(figure: Figure, title: str, bottom: float = 0.0) -> None:
    """Set the title, as large as the figure is wide enough for, and make room for it."""
    if title:
        # By default it is 2 % of the height below the edge: on a tall figure among the axes.
        text = figure.suptitle(title, fontsize=LARGEST, y=1 - TITLE_BELOW_IN / figure.get_figheight())
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        share = text.get_window_extent(renderer).width / (0.96 * figure.bbox.width)
        text.set_fontsize(max(SMALLEST, LARGEST / max(1.0, share)))
        text.set_wrap(True)
    figure.tight_layout(rect=(0, bottom, 1, 1))


def written(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
