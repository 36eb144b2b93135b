"""Accuracy against expected latency, the images that leave early or late, and what happens along a video."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from adaptive_networks.core.record import Point
from lgcnet_search.plots.figures import COLORS, plain, saved, written


class Curve(NamedTuple):
    """Points of one device and runtime: expected latency of each, microseconds; the point chosen under each ceiling."""

    name: str
    points: Sequence[Point]
    expected_us: Sequence[float]
    chosen: Sequence[tuple[float, Point]]


def trade_off(curves: Sequence[Curve], path: Path, title: str, metric: str = "top-1") -> Path:
    """A panel for each device and runtime: a line for a series of many points, dots for the others; ceilings dashed."""
    figure = Figure(figsize=(6.2 * len(curves), 4.6), dpi=110)
    for number, curve in enumerate(curves):
        axes = figure.add_subplot(1, len(curves), number + 1)
        for color, series in zip(COLORS, dict.fromkeys(point.series for point in curve.points), strict=False):
            pairs = sorted(
                (mean_us / 1000, 100 * point.test_accuracy)
                for point, mean_us in zip(curve.points, curve.expected_us, strict=True)
                if point.series == series
            )
            line, marker = ("-", ".") if len(pairs) > 8 else ("", "o")
            us, accuracies = zip(*pairs, strict=True)
            axes.plot(us, accuracies, color=color, label=series, linewidth=1.6, linestyle=line, marker=marker)
        for ceiling_us, chosen in curve.chosen:
            mean_us = next(us for point, us in zip(curve.points, curve.expected_us, strict=True) if point is chosen)
            axes.axvline(ceiling_us / 1000, color="#7a7a7a", linestyle="--", linewidth=1.0)
            at = (mean_us / 1000, 100 * chosen.test_accuracy)
            axes.plot(*at, marker="o", markersize=10, fillstyle="none", color="#1b1f24", linestyle="")
            axes.annotate(chosen.label, at, xytext=(6, -12), textcoords="offset points", fontsize=8)
        axes.set_title(curve.name, loc="left", fontsize=10)
        axes.set_xlabel("expected latency, ms", fontsize=9)
        axes.set_ylabel(f"{metric}, test, %", fontsize=9)
        axes.margins(0.12)  # room for labels
        axes.legend(fontsize=8, edgecolor="none")
        plain(axes)
    return saved(figure, path, title)


def leaving(rows: Sequence[tuple[str, Sequence[npt.NDArray[np.uint8]]]], path: Path, title: str) -> Path:
    """A row of images (H×W×3) for each exit, with its name."""
    columns = max(len(images) for _, images in rows)
    width, height = max(0.75 * columns + 1.4, 0.09 * len(title)), 0.85 * len(rows) + 0.5
    figure = Figure(figsize=(width, height), dpi=110)
    for row, (name, images) in enumerate(rows):
        bottom = height - 0.85 * (row + 1) - 0.4
        for column, image in enumerate(images):
            axes = figure.add_axes(((1.3 + 0.75 * column) / width, bottom / height, 0.7 / width, 0.78 / height))
            axes.imshow(image, interpolation="nearest")
            axes.set_axis_off()
        figure.text(0.1 / width, (bottom + 0.38) / height, name, fontsize=9, va="center")
    figure.text(0.1 / width, 0.985, title, fontsize=10, va="top")
    return written(figure, path)


def timeline(
    lines: Mapping[str, tuple[Sequence[float], Mapping[int, int]]], names: tuple[str, str], path: Path, title: str
) -> Path:
    """Frame by frame of each line: above a share, below a count that changes at some frames; `names` are of both."""
    figure = Figure(figsize=(9, 5.2), dpi=110)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for color, (name, (shares, counts)) in zip(COLORS, lines.items(), strict=False):
        above.plot([100 * share for share in shares], color=color, label=name, linewidth=1.5)
        if counts:
            below.plot(list(counts), list(counts.values()), color=color, marker=".", linestyle="")
            held = {**counts, len(shares) - 1: list(counts.values())[-1]}
            below.step(list(held), list(held.values()), where="post", color=color, linewidth=1.2)
    above.legend(fontsize=8, edgecolor="none")
    below.set_xlabel("frame", fontsize=9)
    for axis in (below.xaxis, below.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    for axes, label in zip((above, below), names, strict=True):
        axes.set_ylabel(label, fontsize=9)
        plain(axes)
    return saved(figure, path, title)
