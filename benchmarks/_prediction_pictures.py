"""Pictures of the predictions of whole networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from latency_tables.calibration import Estimate

COLOURS = {"random": "#3b6ea5", "found": "#d1663c"}


class Point(NamedTuple):
    """A network, predicted and measured; `launches` is the number of operations that it executes."""

    group: str
    measured_us: float
    raw_us: float
    predicted: Estimate
    launches: int


def predicted_and_residuals(points: Sequence[Point], path: Path) -> None:
    """Predicted over measured latency with the 90 % interval; the error over latency and number of operations."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    against, by_latency, by_launches = figure.subplots(1, 3)
    ends = [min(point.measured_us for point in points) / 1000, max(point.measured_us for point in points) / 1000]
    against.plot(ends, ends, color="grey", linewidth=0.8)
    for group, colour in COLOURS.items():
        members = [point for point in points if point.group == group]
        if not members:
            continue
        measured = [point.measured_us / 1000 for point in members]
        middle = [point.predicted.latency_us / 1000 for point in members]
        below = [(point.predicted.latency_us - point.predicted.low_us) / 1000 for point in members]
        above = [(point.predicted.high_us - point.predicted.latency_us) / 1000 for point in members]
        against.errorbar(
            measured, middle, [below, above], fmt="o", markersize=3, elinewidth=0.8, color=colour, label=group
        )
        errors = [100 * (point.predicted.latency_us / point.measured_us - 1) for point in members]
        raw_errors = [100 * (point.raw_us / point.measured_us - 1) for point in members]
        launches = [point.launches for point in members]
        for axes, x in ((by_latency, measured), (by_launches, launches)):
            axes.plot(x, errors, "o", markersize=3, color=colour, label=f"{group}, calibrated")
            axes.plot(x, raw_errors, "x", markersize=3, color=colour, alpha=0.5, label=f"{group}, raw sum")
    against.set(xlabel="measured, ms", ylabel="predicted with 90 % interval, ms")
    by_latency.set(xlabel="measured, ms", ylabel="predicted less measured, %")
    by_launches.set(xlabel="operations executed", ylabel="predicted less measured, %")
    for axes in (by_latency, by_launches):
        axes.axhline(0, color="grey", linewidth=0.8)
    for axes in (against, by_latency):
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def error_by_networks(mape: Mapping[str, float], path: Path) -> None:
    """Mean error of the held-out networks against the number of networks that calibrated the table."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    ticks = range(len(mape))
    axes.plot(ticks, [100 * value for value in mape.values()], "o-", color=COLOURS["random"])
    axes.set_xticks(ticks, list(mape))
    axes.set(xlabel="networks that calibrate the table (0: raw sum)", ylabel="MAPE, %", ylim=(0, None))
    figure.savefig(path, dpi=110)
