"""Figure 1: accuracy against frames a second, measured on a device, with what was published beside."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from lgcnet_search.plots.charts import Point, label_points
from lgcnet_search.plots.figures import arrange, plain, written

MEASURED = "#1f6fb4"
SEARCHED = "#b3312c"


class SpeedPoint(NamedTuple):
    """A network: mIoU in percent, images a second as measured, and as published (None: it was not).

    Without mIoU on these data it is a line at its speed. `searched`: it came out of a search, and is drawn in a colour
    of its own.
    """

    name: str
    miou_percent: float | None
    fps: float
    published_fps: float | None = None
    searched: bool = False


def accuracy_against_speed(points: Sequence[SpeedPoint], path: Path, title: str = "", bar: float = 30.0) -> Path:
    """mIoU over measured FPS (filled) and published FPS (hollow), joined, on one logarithmic axis; a line at `bar`."""
    figure = Figure(figsize=(9.6, 6.0), dpi=110)
    axes = figure.add_subplot()
    axes.axvline(bar, color="#9aa2ad", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(f" {bar:g}", (bar, 0.985), xycoords=("data", "axes fraction"), fontsize=8, color="#7a8794", va="top")
    lines: list[Point] = []
    for point in points:
        color = SEARCHED if point.searched else MEASURED
        if point.miou_percent is None:
            axes.axvline(point.fps, color=color, linewidth=1.2, zorder=2)
            axes.annotate(point.name, (point.fps, 0.02), xycoords=("data", "axes fraction"), rotation=90, fontsize=8)
            continue
        if point.published_fps is not None:
            ends = (point.fps, point.published_fps)
            axes.plot(ends, [point.miou_percent] * 2, color="#d5d9de", linewidth=1, zorder=1)
            axes.plot(point.published_fps, point.miou_percent, "o", color=color, mfc="white", markersize=7, zorder=3)
        axes.plot(point.fps, point.miou_percent, "o", color=color, markersize=7, zorder=4)
        lines.append((point.published_fps or point.fps, point.miou_percent))
    axes.set_xscale("log")
    axes.margins(0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("images a second, one at a time")
    axes.set_ylabel("mIoU, %")
    plain(axes)
    marks = [Line2D([], [], marker="o", linestyle="", color=MEASURED, label="measured on this device")]
    if any(point.published_fps is not None for point in points):
        hollow = "as published, each on its own card"
        marks.append(Line2D([], [], marker="o", linestyle="", color=MEASURED, mfc="white", label=hollow))
    if any(point.searched for point in points):
        marks.append(Line2D([], [], marker="o", linestyle="", color=SEARCHED, label="from a search"))
    figure.legend(handles=marks, loc="lower center", ncols=len(marks), frameon=False, fontsize=9)
    arrange(figure, title, bottom=0.05)
    placed = [(point.name, (point.fps, point.miou_percent)) for point in points if point.miou_percent is not None]
    label_points(figure, axes, [centre for _, centre in placed], [name for name, _ in placed], lines)
    for text in axes.texts:  # readable across the lines
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    return written(figure, path)
