"""The networks of an evolution, generation by generation."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lgcnet_search.plots.figures import plain, saved


class EvolvedPoint(NamedTuple):
    """A network: predicted latency, mIoU with inherited weights, its generation from 0."""

    latency_ms: float
    miou_percent: float
    generation: int


def generations(
    points: Sequence[EvolvedPoint],
    best: tuple[float, float],
    path: Path,
    *,
    ceiling_ms: float | None = None,
    title: str = "",
) -> Path:
    """mIoU over latency, later generations darker; the one that was chosen is ringed, a ceiling is a line."""
    figure = Figure(figsize=(7.4, 5.2), dpi=110)
    axes = figure.add_subplot()
    ordered = sorted(points, key=lambda point: point.generation)
    dots = axes.scatter(
        [point.latency_ms for point in ordered],
        [point.miou_percent for point in ordered],
        c=[point.generation for point in ordered],
        cmap="viridis_r",
        s=22,
    )
    axes.plot(*best, "o", markersize=13, markerfacecolor="none", markeredgecolor="#b3312c", markeredgewidth=1.6)
    axes.annotate("chosen", best, (10, 8), textcoords="offset points", fontsize=9, color="#b3312c")
    if ceiling_ms is not None:
        axes.axvline(ceiling_ms, color="#7a7a7a", linewidth=1.2, linestyle="--")
        axes.annotate(
            "ceiling",
            (ceiling_ms, 0.02),
            (-4, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color="#7a7a7a",
        )
    bar = figure.colorbar(dots, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("generation", fontsize=9)
    bar.locator = MaxNLocator(integer=True)
    axes.set_xlabel("predicted latency, ms")
    axes.set_ylabel("mIoU with inherited weights, %")
    plain(axes)
    return saved(figure, path, title)
