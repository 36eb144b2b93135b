"""Clouds of networks: accuracy against latency, a panel for each ceiling, every cloud with its mean and confidence."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from latency_tables.statistics import Interval
from lgcnet_search.plots.figures import COLORS, plain, saved


class Cloud(NamedTuple):
    """Networks of one kind: (latency in ms, mIoU in percent) of each, the mean mIoU and, of enough, its interval."""

    name: str
    points: tuple[tuple[float, float], ...]
    mean_percent: float
    interval: Interval | None


class Panel(NamedTuple):
    """Clouds of one latency."""

    title: str
    clouds: tuple[Cloud, ...]


def accuracy_clouds(panels: Sequence[Panel], path: Path, title: str = "") -> Path:
    """Every network as a point; right of the points, the mean of each cloud with a bar for its interval."""
    figure = Figure(figsize=(1.4 + 4.6 * len(panels), 5.2), dpi=110)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(cloud.name for panel in panels for cloud in panel.clouds))
    for panel, at in zip(panels, axes, strict=True):
        latencies = np.array([latency for cloud in panel.clouds for latency, _ in cloud.points])
        low, high = float(latencies.min()), float(latencies.max())
        room = max(high - low, 0.01 * high)
        for place, cloud in enumerate(panel.clouds):
            color = COLORS[names.index(cloud.name) % len(COLORS)]
            at.plot(*zip(*cloud.points, strict=True), "o", color=color, markersize=6, alpha=0.75, linewidth=0)
            low_percent, high_percent = cloud.interval or (cloud.mean_percent, cloud.mean_percent)
            bars = [[cloud.mean_percent - low_percent], [high_percent - cloud.mean_percent]]
            place_ms = high + room * (0.15 + 0.12 * place)
            cap = 4 if cloud.interval else 0
            at.errorbar(place_ms, cloud.mean_percent, yerr=bars, fmt="D", color=color, capsize=cap)
        at.axvline(high + 0.06 * room, color="#c9c9c9", linewidth=0.8, linestyle=":")
        at.set_xlim(low - 0.06 * room, high + room * (0.15 + 0.12 * len(panel.clouds)))
        at.set_xticks([tick for tick in at.get_xticks() if low - 0.06 * room <= tick <= high + 0.05 * room])
        at.set_title(panel.title, loc="left", fontsize=10)
        at.set_xlabel("predicted latency, ms (right: means, 95 %)", fontsize=9)
        plain(at)
    axes[0].set_ylabel("mIoU, %")
    handles = [Patch(color=COLORS[index % len(COLORS)], label=name) for index, name in enumerate(names)]
    figure.legend(handles=handles, loc="lower center", ncols=len(names), frameon=False, fontsize=9)
    return saved(figure, path, title, bottom=0.06)
