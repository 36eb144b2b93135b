"""Pictures of the predictions of whole networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from latency_tables.calibration import Estimate

COLOURS = {"random": "#3b6ea5", "found": "#d1663c"}


class Point(NamedTuple):
    """A network that was predicted and measured; `launches`: how many operations it executes."""

    group: str
    measured_us: float
    raw_us: float
    predicted: Estimate
    launches: int


def predicted_and_residuals(points: Sequence[Point], path: Path) -> None:
    """Predicted against measured with the 90 % interval; what is left, against latency and number of operations."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    against, by_latency, by_launches = figure.subplots(1, 3)
    ends = [min(point.measured_us for point in points) / 1000, max(point.measured_us for point in points) / 1000]
    against.plot(ends, ends, color="grey", linewidth=0.8)
    for group, colour in COLOURS.items():
        mine = [point for point in points if point.group == group]
        if not mine:
            continue
        measured = [point.measured_us / 1000 for point in mine]
        middle = [point.predicted.latency_us / 1000 for point in mine]
        below = [(point.predicted.latency_us - point.predicted.low_us) / 1000 for point in mine]
        above = [(point.predicted.high_us - point.predicted.latency_us) / 1000 for point in mine]
        against.errorbar(
            measured, middle, [below, above], fmt="o", markersize=3, elinewidth=0.8, color=colour, label=group
        )
        left = [100 * (point.predicted.latency_us / point.measured_us - 1) for point in mine]
        raw_left = [100 * (point.raw_us / point.measured_us - 1) for point in mine]
        launches = [point.launches for point in mine]
        for axes, x in ((by_latency, measured), (by_launches, launches)):
            axes.plot(x, left, "o", markersize=3, color=colour, label=f"{group}, calibrated")
            axes.plot(x, raw_left, "x", markersize=3, color=colour, alpha=0.5, label=f"{group}, raw sum")
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
    places = range(len(mape))
    axes.plot(places, [100 * value for value in mape.values()], "o-", color=COLOURS["random"])
    axes.set_xticks(places, list(mape))
    axes.set(xlabel="networks that calibrate the table (0: raw sum)", ylabel="MAPE, %", ylim=(0, None))
    figure.savefig(path, dpi=110)
