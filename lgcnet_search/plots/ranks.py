"""Accuracies of networks, once by a supernet and once trained alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from lgcnet_search.plots.figures import COLORS, plain, saved


class RankPanel(NamedTuple):
    """mIoU in percent of the same networks with inherited weights and trained alone."""

    title: str
    inherited: Sequence[float]
    alone: Sequence[float]


def ranks(panels: Sequence[RankPanel], path: Path, title: str = "") -> Path:
    """A point for each network, a panel for each stage of a search."""
    figure = Figure(figsize=(1.2 + 3.7 * len(panels), 4.4), dpi=110)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, at in zip(panels, axes, strict=True):
        at.plot(panel.inherited, panel.alone, "o", color=COLORS[0], markersize=5, alpha=0.8)
        at.set_title(panel.title, loc="left", fontsize=9)
        at.set_xlabel("mIoU with inherited weights, %", fontsize=9)
        plain(at)
    axes[0].set_ylabel("mIoU trained alone, %", fontsize=9)
    return saved(figure, path, title)
