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
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox

from latency_tables.contract import LatencyTable, OperationSpec
from latency_tables.latencies import basis_of, latency_us
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
    most_entropy: float | None = None,
) -> Path:
    """How a search went, one value a step; the noisy ones also as a running mean. Entropy is in nats.

    `levels_us` are latencies to compare LAT with, by name; `held` is in how many steps α was held; `most_entropy` is
    that of edges whose candidates are all as likely.
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
            axes.set_ylim(0, most_entropy and 1.05 * most_entropy)
        if held:
            axes.axvspan(0, held - 0.5, color="#ededed", linewidth=0)
        if held and entropy is values:
            axes.text(0.02 * len(scaled), 0, "α held", fontsize=8, va="bottom")
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.ticklabel_format(axis="y", useOffset=False)
        plain(axes)
    return saved(figure, path, title)


class PredictedPoint(NamedTuple):
    """One network or operation: predicted, and measured with its 95 % interval, microseconds.

    `interval_us` is the prediction's own, if it has one.
    """

    name: str
    predicted_us: float
    measured_us: float
    low_us: float
    high_us: float
    interval_us: tuple[float, float] | None = None


def predicted_against_measured(points: Sequence[PredictedPoint], path: Path, title: str = "") -> Path:
    """Predicted over measured latency, with the bars of both intervals; bands of ±5 % and ±10 % around equality."""
    figure = Figure(figsize=(6.6, 7.8), dpi=110)
    axes, below = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    values = np.array([point[1:5] for point in points], dtype=float) / 1000
    ends = np.array([point.interval_us or (point.predicted_us,) * 2 for point in points], dtype=float) / 1000
    predicted, measured = values[:, 0], values[:, 1]
    low, high = float(min(values.min(), ends.min())) * 0.88, float(max(values.max(), ends.max())) * 1.12
    line = np.array([low, high])
    for share, shade in ((0.10, "#e9eef4"), (0.05, "#cfdcea")):
        axes.fill_between(line, line * (1 - share), line * (1 + share), color=shade, linewidth=0, label=f"±{share:.0%}")
        below.axhspan(-100 * share, 100 * share, color=shade, linewidth=0)
    axes.plot(line, line, color="#7a8794", linewidth=1)
    below.axhline(0, color="#7a8794", linewidth=1)
    bars = np.stack([measured - values[:, 2], values[:, 3] - measured])
    error = 100 * (predicted / measured - 1)
    upright = np.abs(ends.T - predicted)
    for panel, y, yerr in ((axes, predicted, upright), (below, error, 100 * upright / measured)):
        panel.errorbar(measured, y, xerr=bars, yerr=yerr, fmt="o", color="#1f6fb4", markersize=5, capsize=2)
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
        drawn = [
            (x, y) for (_, y), row in zip(centres, values, strict=True) for x in np.linspace(row[2], row[3], 7).tolist()
        ]
        drawn += [
            (x, y) for (x, _), row in zip(centres, ends, strict=True) for y in np.linspace(row[0], row[1], 7).tolist()
        ]
        label_points(figure, axes, centres, [point.name for point in points], drawn)
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
    label_points(figure, axes, centres, [point.name for point in points], drawn)
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


class HeatCell(NamedTuple):
    """A latency in microseconds, and whether it is doubtful."""

    latency_us: float
    doubtful: bool = False


def latency_heatmap(cells: Mapping[tuple[str, str], HeatCell], path: Path, title: str = "") -> Path:
    """Latencies as operations (sorted) × resolutions (in the order given); cells without a row stay white.

    Doubtful ones are hatched.
    """
    operations = sorted({operation for operation, _ in cells}, key=_natural)
    resolutions = list(dict.fromkeys(resolution for _, resolution in cells))
    grid = np.full((len(operations), len(resolutions)), np.nan)
    hatched = []
    for (operation, resolution), cell in cells.items():
        at = operations.index(operation), resolutions.index(resolution)
        grid[at] = cell.latency_us
        if cell.doubtful:
            hatched.append(at)
    width, height = 3.2 + 0.82 * len(resolutions), 1.9 + 0.27 * len(operations)
    figure = Figure(figsize=(width, height), dpi=110)
    axes = figure.add_subplot()
    low, high = float(np.nanmin(grid)), float(np.nanmax(grid))
    scale = LogNorm(low, high * (1 + 1e-9))
    image = axes.imshow(grid, cmap="viridis", norm=scale, aspect="auto")
    for row, column in np.argwhere(~np.isnan(grid)):
        value = float(grid[row, column])
        color = "white" if scale(value) < 0.6 else "black"
        axes.text(column, row, _time(value), ha="center", va="center", fontsize=7, color=color)
    for row, column in hatched:
        color = "white" if scale(float(grid[row, column])) < 0.6 else "black"
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, hatch="////", linewidth=0, alpha=0.35)
        box.set_edgecolor(color)
        axes.add_patch(box)
    axes.set_xticks(range(len(resolutions)), resolutions, rotation=35, ha="right", fontsize=8)
    axes.set_yticks(range(len(operations)), operations, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.015)
    bar.set_label("µs where no unit stands" + ("; hatched: doubtful" if hatched else ""), fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return saved(figure, path, title)


def heatmap_cells(table: LatencyTable) -> dict[tuple[str, str], HeatCell]:
    """What a table's sums are of, by operation and input (channels × height × width), fine inputs first."""
    basis = basis_of(table)
    rows = sorted(table.rows, key=lambda row: _input_order(row.operation))
    labels = Counter((_operation_label(row.operation), _input_label(row.operation)) for row in rows)
    cells: dict[tuple[str, str], HeatCell] = {}
    for row in rows:
        key = (_operation_label(row.operation), _input_label(row.operation))
        # Two operations that differ in what the label leaves out are two rows.
        cell = HeatCell(latency_us(row, basis), doubtful=not row.quality.sound)
        cells[(str(row.operation), key[1]) if labels[key] > 1 else key] = cell
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


def _time(latency_us: float) -> str:
    """With three digits, in the unit that suits."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if latency_us >= 0.9995 * size:
            return f"{_three_digits(latency_us / size)} {unit}"
    return _three_digits(latency_us)


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def label_points(
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
