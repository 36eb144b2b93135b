"""Modes and thread counts of this machine as devices: each predicted from the others and ten of its own networks.

Beside that: its own full table, calibrated by the same ten networks; and the ten networks without any other device.
Measurements are kept in `--folder` and not repeated, so that one runtime after the other can be measured.
"""

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._agent import LocalAgent
from benchmarks._common import finish, show
from benchmarks.prediction import BASIS, Measurements
from latency_tables.calibration import Calibrated, Estimate, TimedNetwork, choose
from latency_tables.contract import Effort, LatencyTable, NetworkSpec, OperationSpec, PredictionFigures, Runtime, Work
from latency_tables.transfer.learned import CalibratedSource, Learned
from latency_tables.transfer.new_device import Components, NewDevice
from lgcnet_search.space import REQUIREMENT, SPACE
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import varied_genotype
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from lut_server.analysis.error_card import figures

RUNTIMES = {
    "pytorch-1": Runtime(threads=1),
    "pytorch-2": Runtime(threads=2),
    "onnxruntime-1": Runtime(mode="onnxruntime", threads=1),
    "onnxruntime-2": Runtime(mode="onnxruntime", threads=2),
    "pytorch-bf16": Runtime(precision="bf16", threads=1),
}
OWN = 10
NETWORKS_PER_JOB = 8
"""What a job measured is kept, also where the next one is stopped."""


class Measured(NamedTuple):
    """A runtime's table, and its networks in the order that all runtimes have."""

    table: LatencyTable
    networks: list[TimedNetwork]


def main() -> None:
    options = _parsed()
    with tempfile.TemporaryDirectory() as scratch:
        _run(options, options.folder or Path(scratch))


def _run(options: argparse.Namespace, folder: Path) -> None:
    space = Space(height=options.height, width=options.width)
    seeds = random.Random(4).sample(range(1000), options.networks)
    networks = [network_spec(varied_genotype(space, seed)) for seed in seeds]
    folder.mkdir(parents=True, exist_ok=True)
    devices = {}
    for name in options.runtime or RUNTIMES:
        devices[name] = _measured(name, space.operations, networks, options, folder)
        print(f"{name}: measured", flush=True)
    if len(devices) < 3:
        print("measure three runtimes at least to compare")
        return
    rows: list[list[str]] = []
    result: dict[str, Any] = {}
    for target in devices:
        scores = _compared(target, devices, options.draws)
        result[target] = {way: {"mape": round(of.mape, 5), "tau": of.tau, "in90": inside} for way, of, inside in scores}
        for way, of, inside in scores:
            tau = "" if of.tau is None else f"{of.tau:.3f}"
            rows.append([target, way, f"{of.mape:.2%}", f"{of.max_rel:.2%}", tau, f"{inside:.0%}"])
    show(
        f"{len(networks) - OWN} networks of each device, from {OWN} others of its own",
        ["device", "by", "MAPE", "worst", "tau", "in 90 %"],
        rows,
    )
    finish(result)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", action="append", choices=tuple(RUNTIMES), help="may be repeated (all)")
    parser.add_argument("--height", type=int, default=193)
    parser.add_argument("--width", type=int, default=385)
    parser.add_argument("--networks", type=int, default=30, help="networks of each device (default 30)")
    parser.add_argument("--blocks", type=int, default=12, help="least blocks of each network (default 12)")
    parser.add_argument("--network-s", type=float, default=2.0, help="seconds for each network (default 2)")
    parser.add_argument("--table-s", type=float, default=60.0, help="seconds for a table (default 60)")
    parser.add_argument("--draws", type=int, default=5, help="choices of ten networks (default 5)")
    parser.add_argument("--folder", type=Path, help="keep measurements here, and go on from them")
    return parser.parse_args()


def _measured(
    name: str,
    operations: Sequence[OperationSpec],
    networks: Sequence[NetworkSpec],
    options: argparse.Namespace,
    folder: Path,
) -> Measured:
    measurements = Measurements(folder / f"{name}.jsonl")
    agent = LocalAgent(RUNTIMES[name], SPACE, space_digest(), REQUIREMENT, standard=folder / f"standard-{name}.json")
    missing = [operation for operation in operations if operation.digest not in measurements.by_key]
    if missing:
        measurements.add(agent.measure(missing, effort=Effort(budget_s=options.table_s)))
    left = [network for network in networks if network.digest not in measurements.by_key]
    for start in range(0, len(left), NETWORKS_PER_JOB):
        part = left[start : start + NETWORKS_PER_JOB]
        effort = Effort(budget_s=options.network_s * len(part), min_blocks=options.blocks)
        measurements.add(agent.measure(networks=part, effort=effort))
    taken = [agent.restated(measurements.by_key[network.digest]) for network in networks]
    timed = [TimedNetwork.of(network, one, BASIS) for network, one in zip(networks, taken, strict=True)]
    return Measured(agent.table(operations, measurements.by_key), timed)


def _compared(target: str, devices: dict[str, Measured], draws: int) -> list[tuple[str, PredictionFigures, float]]:
    """Each way's figures over all draws."""
    table, networks = devices[target]
    learned = _learned([(name, devices[name]) for name in devices if name != target], table)
    draw = random.Random(1)
    ways: dict[str, list[tuple[Estimate, float]]] = {}
    for _ in range(draws):
        pool = draw.sample(networks, 2 * len(networks) // 3)
        by_digest = {timed.network.digest: timed for timed in pool}
        candidates = [timed.network for timed in pool]
        own = [by_digest[network.digest] for network in learned.choose(candidates, OWN)]
        spread = [by_digest[network.digest] for network in choose(table, candidates, OWN, BASIS)]
        asked = [timed for timed in networks if timed not in pool]
        counts = learned.counts([timed.network for timed in asked])
        ways_now = {
            "other devices and ten networks": learned.new_device(own).predict(counts),
            "ten networks, no other device": _alone(learned, own).predict(counts),
            "its own table and ten networks": _by_table(table, spread, asked),
        }
        for way, estimates in ways_now.items():
            pairs = zip(estimates, (timed.measured_us for timed in asked), strict=True)
            ways.setdefault(way, []).extend(pairs)
    return [(way, *_figures(pairs)) for way, pairs in ways.items()]


def _figures(pairs: Sequence[tuple[Estimate, float]]) -> tuple[PredictionFigures, float]:
    inside = [estimate.low_us <= measured_us <= estimate.high_us for estimate, measured_us in pairs]
    of = figures([estimate.latency_us for estimate, _ in pairs], [measured_us for _, measured_us in pairs])
    return of, sum(inside) / len(inside)


def _learned(others: Sequence[tuple[str, Measured]], table: LatencyTable) -> Learned:
    works: dict[str, Work] = {row.operation.digest: row.work for row in table.rows if row.work}
    sources = []
    for name, (other, networks) in others:
        fitted = Calibrated(other, networks, BASIS)
        rows_us = {row.operation.digest: fitted.in_network_us(row.operation) for row in other.rows}
        operations = [row.operation for row in other.rows]
        specs = [timed.network for timed in networks]
        sources.append(CalibratedSource(name, operations, rows_us, fitted.constant_us.mean, specs))
    return Learned(sources, (), works)


def _alone(learned: Learned, own: Sequence[TimedNetwork]) -> NewDevice:
    """From the work of operations, and nothing of other devices."""
    components = Components(learned.features, learned.features.physical)
    components.priors = [part for part in components.priors if part[2] == "none"]
    counts = learned.counts([timed.network for timed in own])
    return NewDevice(components, counts, np.array([timed.measured_us for timed in own]))


def _by_table(table: LatencyTable, own: Sequence[TimedNetwork], asked: Sequence[TimedNetwork]) -> list[Estimate]:
    fitted = Calibrated(table, own, BASIS)
    return [fitted.predict(timed.network) for timed in asked]


if __name__ == "__main__":
    main()
