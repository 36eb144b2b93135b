"""What all pictures share."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = ("#1f6fb4", "#e08214", "#2a9d3a", "#7a7a7a", "#c2377f", "#9467bd")
"""Of series, in their order."""


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
    if title:
        figure.suptitle(title, fontsize=12)
    figure.tight_layout(rect=(0, bottom, 1, 1))


def written(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
