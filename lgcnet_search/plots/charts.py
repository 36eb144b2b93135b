"""Charts of searches, predictions, trade-offs and latency tables."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox

from latency_tables.contract import LatencyTable, OperationSpec
from lgcnet_search.plots.figures import COLORS, arrange, plain, saved, written

Point = tuple[float, float]

_LEVELS = (("#e08214", "solid"), ("#2a9d3a", "solid"), ("#c81e1e", "dashed"))


def search_curves(
    path: Path,
    *,
    cross_entropy: Sequence[float],
    latency_us: Sequence[float],
    temperature: Sequence[float],
    entropy: Sequence[float],
    title: str = "",
    levels_us: Mapping[str, float] | None = None,
    held: int = 0,
) -> Path:
    """How a search went, one value a step; the noisy ones also as a running mean. Entropy is in nats.

    `levels_us` are latencies to compare LAT with, by name; `held` is in how many steps α was held.
    """
    figure = Figure(figsize=(10, 6), dpi=110)
    panels = (
        ("cross-entropy", cross_entropy, 1.0),
        ("LAT, ms", latency_us, 1e-3),
        ("temperature λ", temperature, 1.0),
        ("entropy of the edges, nats", entropy, 1.0),
    )
    for panel, (name, values, unit) in enumerate(panels):
        axes = figure.add_subplot(2, 2, panel + 1)
        scaled = np.asarray(values, dtype=float) * unit
        steps = np.arange(len(scaled))
        window = len(scaled) // 25
        noisy = panel < 2 and window > 1
        axes.plot(steps, scaled, color="#1f6fb4", alpha=0.3 if noisy else 1.0, linewidth=1.0 if noisy else 1.8)
        if noisy:
            mean = np.convolve(scaled, np.ones(window) / window, mode="valid")
            axes.plot(steps[window // 2 :][: len(mean)], mean, color="#1f6fb4", linewidth=1.8)
        if latency_us is values and levels_us:
            for (level, level_us), (color, style) in zip(levels_us.items(), _LEVELS, strict=False):
                text = f"{level} {level_us / 1000:.4g} ms"
                axes.axhline(level_us * unit, color=color, linestyle=style, linewidth=1.4, label=text)
            axes.legend(fontsize=8, edgecolor="none", framealpha=0.85)
        if entropy is values:
            axes.set_ylim(bottom=0)
        if held:
            axes.axvspan(0, held - 0.5, color="#ededed", linewidth=0)
        if held and entropy is values:
            axes.text(0.02 * len(scaled), 0, "α held", fontsize=8, va="bottom")
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.ticklabel_format(axis="y", useOffset=False)
        plain(axes)
    return saved(figure, path, title)


class PredictedPoint(NamedTuple):
    """One network or operation: predicted, and measured with its 95 % interval, microseconds."""

    name: str
    predicted_us: float
    measured_us: float
    low_us: float
    high_us: float


def predicted_against_measured(points: Sequence[PredictedPoint], path: Path, title: str = "") -> Path:
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
        plain(panel)
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
    arrange(figure, title)
    if len(points) <= 15:
        centres = list(zip(measured.tolist(), predicted.tolist(), strict=True))
        ends = [
            (x, y) for (_, y), row in zip(centres, values, strict=True) for x in np.linspace(row[2], row[3], 7).tolist()
        ]
        _label(figure, axes, centres, [point.name for point in points], ends)
    return written(figure, path)


class AccuracyPoint(NamedTuple):
    """A network's accuracy and latency; points of one `series` share a colour."""

    name: str
    latency_ms: float
    miou_percent: float
    series: str = ""


def accuracy_against_latency(
    points: Sequence[AccuracyPoint], path: Path, title: str = "", *, sweeps: Collection[str] = ()
) -> Path:
    """mIoU over latency (Figs. 1 and 7); the series in `sweeps` are joined by lines."""
    figure = Figure(figsize=(7.4, 5.2), dpi=110)
    axes = figure.add_subplot()
    series = list(dict.fromkeys(point.series for point in points))
    drawn: list[Point] = []
    for number, name in enumerate(series):
        members = sorted((point for point in points if point.series == name), key=lambda point: point.latency_ms)
        centres = [(point.latency_ms, point.miou_percent) for point in members]
        color = COLORS[number % len(COLORS)]
        axes.plot(
            *zip(*centres, strict=True),
            "o-" if name in sweeps else "o",
            color=color,
            markersize=6,
            linewidth=1.4,
            label=name or None,
        )
        for start, end in pairwise(centres if name in sweeps else []):
            drawn.extend((x, y) for x, y in np.linspace(start, end, 25).tolist())
    axes.margins(0.12)
    axes.set_xlabel("latency, ms")
    axes.set_ylabel("mIoU, %")
    plain(axes)
    if any(series):
        axes.legend(loc="best", frameon=False, fontsize=9)
    figure.tight_layout()
    centres = [(point.latency_ms, point.miou_percent) for point in points]
    _label(figure, axes, centres, [point.name for point in points], drawn)
    return saved(figure, path, title)


def latency_against_beta(points: Sequence[tuple[str, float, float]], path: Path, title: str = "") -> Path:
    """Latency over the weight of the latency loss: (β, mean, standard deviation in ms), evenly spaced in this order."""
    figure = Figure(figsize=(6.4, 4.2), dpi=110)
    axes = figure.add_subplot()
    names, means, deviations = zip(*points, strict=True)
    axes.errorbar(range(len(points)), means, yerr=deviations, fmt="o-", color="#1f6fb4", markersize=6, capsize=3)
    axes.set_xticks(range(len(points)), names)
    axes.set_xlabel("β")
    axes.set_ylabel("predicted latency, ms")
    plain(axes)
    return saved(figure, path, title)


def latency_heatmap(latencies_us: Mapping[tuple[str, str], float], path: Path, title: str = "") -> Path:
    """Latencies as operations (sorted) × resolutions (in the order given); cells without a row stay white."""
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
    return saved(figure, path, title)


def heatmap_cells(table: LatencyTable) -> dict[tuple[str, str], float]:
    """A table's medians by operation and input (channels × height × width), fine inputs first."""
    rows = sorted(table.rows, key=lambda row: _input_order(row.operation))
    labels = Counter((_operation_label(row.operation), _input_label(row.operation)) for row in rows)
    cells: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (_operation_label(row.operation), _input_label(row.operation))
        # Two operations that differ in what the label leaves out are two rows.
        cells[(str(row.operation), key[1]) if labels[key] > 1 else key] = row.latency.median_us
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


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _label(
    figure: Figure, axes: Axes, points: Sequence[Point], names: Sequence[str], drawn: Sequence[Point] = ()
) -> None:
    """Write each name beside its point and, where there is room, clear of other names and of the points in `drawn`."""
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
