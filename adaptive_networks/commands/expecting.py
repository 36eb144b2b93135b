"""adaptive-networks expect: what inputs cost in the mean on a device, and the best thresholds under a ceiling."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast, get_args
from urllib.parse import urlencode

import typer

from adaptive_networks.commands.measuring import RunFolder, results
from adaptive_networks.commands.pictures import Curve, trade_off
from adaptive_networks.core.exits import CeilingTooLow, mean_us, std_us, sweep
from adaptive_networks.core.record import Point, Record
from latency_tables.client import LutClient
from latency_tables.contract import Device, Expectation, Mode, Runtime, share_in_time
from lgcnet_search import jobs
from lgcnet_search.commands.access import AccessOptions
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import Threads, number_of
from lgcnet_search.commands.usage import UsageError, usage

SHARES = (0.25, 0.5, 0.75)
"""Ceilings, where none are given: so far from the least expected latency to the largest."""
RESULTS = "expected.json"
FEW = 10
"""Points of a series that are printed one by one; of more there is the picture."""
_SHOWN = {"series", "label", "accuracy", "test_accuracy"}


@dataclass(frozen=True)
class TargetsOptions(AccessOptions):
    """Every combination of device and mode."""

    device: Annotated[
        list[str] | None, typer.Option(help="UUID or name; may be repeated; left out: the only one there is.")
    ] = None
    mode: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(get_args(Mode))}; may be repeated; left out: pytorch.")
    ] = None
    threads: Threads = None
    ceiling_ms: Annotated[
        str | None, typer.Option(help="Ceilings of the mean, with commas between; left out: three in range.")
    ] = None

    @property
    def ceilings_us(self) -> list[float]:
        """Empty where none are given. Raises UsageError."""
        texts = self.ceiling_ms.split(",") if self.ceiling_ms else []
        ceilings_us = [1000 * number_of("ceiling-ms", text) for text in texts]
        if not all(0 < ceiling_us < math.inf for ceiling_us in ceilings_us):
            raise UsageError(f"ceiling-ms: {self.ceiling_ms} are not milliseconds above 0")
        return ceilings_us

    def require(self) -> None:
        """Raises what is wrong with the options, the server or the device before anything is trained for them."""
        _ = self.ceilings_us
        with self.connected() as client:
            self.targets(client)

    def targets(self, client: LutClient) -> list[tuple[Device, Runtime]]:
        devices = [jobs.find_device(client, name) for name in self.device or (None,)]
        with usage():
            return [
                (device, jobs.runtime_on(device, cast(Mode, mode), threads=self.threads))
                for device in devices
                for mode in self.mode or ["pytorch"]
            ]


@grouped
def expect(run: RunFolder, asked: TargetsOptions) -> None:
    """Say what an input costs in the mean, and choose thresholds under ceilings, on every device and mode.

    The rates are the network's, the latencies are of each device's newest table (`measure` makes it). Writes
    expected.json and expected.png to RUN.
    """
    record = Record.load(run)
    with asked.connected() as client:
        found = [expected_on(client, asked, record, *target) for target in asked.targets(client)]
    for lines in (each.lines for each in found):
        typer.echo("\n".join(lines))
    write(run, record, found)


@dataclass(frozen=True)
class Found:
    """What was found on one device and runtime."""

    curve: Curve
    lines: Sequence[str]
    results: dict[str, Any]


def expected_on(client: LutClient, asked: TargetsOptions, record: Record, device: Device, runtime: Runtime) -> Found:
    """Expected latencies of all points of a record, and the best under each ceiling. Raises NotFound, MissingRows."""
    first, asked_us = record.paths[0].network, asked.ceilings_us
    table = client.newest_table(device.uuid, first.space, runtime, first.space_digest)
    path_us = record.latency_us(jobs.latencies_of(client, table))
    means_us = [mean_us(point.rates, path_us) for point in record.points]
    low_us, high_us = min(means_us), max(means_us)
    ceilings_us = asked_us or record.ceilings_us or [low_us + share * (high_us - low_us) for share in SHARES]
    measured = [result.measured_us if result else None for result in results(client, record, device, runtime)]
    points = [
        {**point.model_dump(include=_SHOWN), "expected_us": us, "measured_us": _measured_us(point, measured)}
        for point, us in zip(record.points, means_us, strict=True)
    ]
    of_series = Counter(point.series for point in record.points)
    few = [point for point in points if of_series[point["series"]] <= FEW]
    lines = [f"{device.name}, {runtime}:", *(_point_line(record.metric, point) for point in few)]
    chosen: list[tuple[float, Point]] = []
    choices = []
    for ceiling_us in ceilings_us:
        try:
            point = sweep(record.points, path_us, ceiling_us)
        except CeilingTooLow as error:
            nearest = record.points[means_us.index(low_us)]
            searched = "; demo --resume searches again, under any --ceiling-ms" if record.ceilings_us else ""
            lines.append(f"  {error}, of {nearest.series}, {nearest.label}{searched}")
            continue
        (expectation,) = client.expect(record.rated(point.rates), device.uuid, runtime)
        chosen.append((ceiling_us, point))
        choice = _choice(record, point, ceiling_us, expectation, path_us, measured)
        choice["by_macs"] = _by_macs(record, path_us, ceiling_us, measured)
        choices.append(choice)
        lines += _lines(asked.server, device, runtime, record, point, choice)
    curve = Curve(f"{device.name}, {runtime}", record.points, means_us, chosen)
    everything = {
        "device": device.uuid,
        "runtime": runtime.model_dump(mode="json"),
        "table_id": str(table.id),
        "paths": {path.label: us for path, us in zip(record.paths, path_us, strict=True)},
        "measured": {path.label: us for path, us in zip(record.paths, measured, strict=True)},
        "points": points,
        "chosen": choices,
    }
    return Found(curve, lines, everything)


def write(run: Path, record: Record, found: Sequence[Found]) -> None:
    """expected.json and expected.png in the folder of a training."""
    (run / RESULTS).write_text(json.dumps([each.results for each in found], indent=1) + "\n", "utf-8")
    title = f"{record.system}: {record.metric} against expected latency"
    typer.echo(trade_off([each.curve for each in found], run / "expected.png", title, record.metric))


def _point_line(metric: str, point: dict[str, Any]) -> str:
    measured = f", paths as measured {point['measured_us']:.1f}" if point["measured_us"] else ""
    return (
        f"  {point['series']}, {point['label']}: {metric} {point['test_accuracy']:.1%} test, expected "
        f"{point['expected_us']:.1f} µs{measured}"
    )


def _choice(
    record: Record,
    point: Point,
    ceiling_us: float,
    expectation: Expectation,
    path_us: Sequence[float],
    measured: Sequence[float | None],
) -> dict[str, Any]:
    """A point that was chosen: as promised, and by the clock."""
    taken = [rate for rate in point.rates if rate]
    are_shares = math.isclose(sum(taken), 1, abs_tol=1e-6)
    return {
        "ceiling_us": ceiling_us,
        "series": point.series,
        "label": point.label,
        "thresholds": point.thresholds,
        "rates": point.rates,
        "accuracy": point.accuracy,
        "test_rates": point.test_rates,
        "test_accuracy": point.test_accuracy,
        "expected_us": expectation.predicted_us or expectation.raw_us,
        "low_us": expectation.low_us,
        "high_us": expectation.high_us,
        "std_of_rates_us": std_us(point.rates, path_us, record.held_out) if are_shares else None,
        "measured_us": _measured_us(point, measured),
        "in_time": share_in_time(taken, expectation.paths, ceiling_us),
    }


def _by_macs(
    record: Record, path_us: Sequence[float], ceiling_us: float, measured: Sequence[float | None]
) -> dict[str, Any] | None:
    """The point that whoever has MACs only would take: the costliest path's latency, shared out by MACs.

    None where they would say that none fits.
    """
    costliest = max(range(len(path_us)), key=lambda path: record.paths[path].macs)
    per_mac_us = path_us[costliest] / record.paths[costliest].macs
    try:
        point = sweep(record.points, [path.macs * per_mac_us for path in record.paths], ceiling_us)
    except CeilingTooLow:
        return None
    return {
        "label": point.label,
        "rates": point.rates,
        "test_accuracy": point.test_accuracy,
        "expected_us": mean_us(point.rates, path_us),
        "measured_us": _measured_us(point, measured),
    }


def _measured_us(point: Point, measured: Sequence[float | None]) -> float | None:
    """Σ rate · measured; None where a path was not measured."""
    taken = [(rate, us) for rate, us in zip(point.rates, measured, strict=True) if rate]
    return None if any(us is None for _, us in taken) else sum(rate * (us or 0) for rate, us in taken)


def _lines(
    server: str, device: Device, runtime: Runtime, record: Record, point: Point, choice: dict[str, Any]
) -> list[str]:
    rates = ", ".join(f"{rate:.0%} {path.label}" for path, rate in zip(record.paths, point.rates, strict=True) if rate)
    interval = f" ({choice['low_us']:.1f} to {choice['high_us']:.1f})" if choice["low_us"] is not None else ", raw"
    measured = f", paths as measured {choice['measured_us']:.1f}" if choice["measured_us"] else ""
    std = choice["std_of_rates_us"]
    counted = f"; ±{std:.1f} from counting {record.held_out} images" if std else ""
    in_time = f"; {choice['in_time']:.0%} of inputs within it" if choice["in_time"] is not None else ""
    query = {"device": device.uuid, **runtime.model_dump(mode="json", exclude_none=True)}
    paths = [
        ("path", f"{rate:.9g}:{network.digest}:{label}") for label, network, rate in record.rated(point.rates) if rate
    ]
    by_macs = choice["by_macs"]
    instead = "nothing, as none would fit"
    if by_macs is not None:
        over = by_macs["expected_us"] / choice["ceiling_us"] - 1
        instead = (
            f"{by_macs['label']}, {record.metric} {by_macs['test_accuracy']:.1%} test, {abs(over):.0%} "
            f"{'over' if over > 0 else 'under'} the ceiling"
        )
    deadline = ("deadline_ms", f"{choice['ceiling_us'] / 1000:.6g}")
    # The page shows networks that the server knows: those that were measured.
    page = f"    {server.rstrip('/')}/expectation?{urlencode([*query.items(), *paths, deadline])}"
    return [
        f"  ceiling {choice['ceiling_us']:.1f} µs: {point.series}, {point.label}: {rates}{in_time}",
        f"    expected {choice['expected_us']:.1f} µs{interval}{measured}{counted}",
        f"    {record.tell(point)}; by MACs instead: {instead}",
        *([page] if choice["measured_us"] else []),
    ]
