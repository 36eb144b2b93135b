"""How far predictions of whole networks are from what the agent measures: raw sums, a line through them, calibrated.

A table and the networks are measured in processes of their own. Of the networks, some are chosen to calibrate the
table; the others, random ones and found ones, are predicted and never used in fitting. Those are measured twice, in
jobs apart: what they disagree about is what no prediction can be better than. Measurements are stored in `--folder` and
not repeated.

"No parts" is the calibration's model without what it keeps only where that helps: Student's t and one scale.
"""

import argparse
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks._agent import LocalAgent
from benchmarks._common import finish, show
from benchmarks._prediction_pictures import Point, error_by_networks, predicted_and_residuals
from examples.mobile_space import plugin as mobile
from examples.mobile_space.digest import REQUIREMENT as MOBILE_REQUIREMENT
from examples.mobile_space.digest import SPACE as MOBILE
from examples.mobile_space.digest import space_digest as mobile_digest
from examples.mobile_space.genotype import random_genotype as mobile_genotype
from examples.mobile_space.network import network_spec as mobile_spec
from examples.mobile_space.space import Space as MobileSpace
from latency_tables.calibration import MEAN_ERROR, Calibrated, TimedNetwork, choose
from latency_tables.contract import (
    Basis,
    Effort,
    Kernel,
    LatencyTable,
    Measurement,
    Mode,
    NetworkSpec,
    OperationSpec,
    PredictionFigures,
    Runtime,
)
from latency_tables.kendall import kendall_tau
from latency_tables.latencies import network_us
from lgcnet_search.data.sources import generated_scenes, search_batches
from lgcnet_search.search.search import SearchSettings, search
from lgcnet_search.space import REQUIREMENT as LGCNET_REQUIREMENT
from lgcnet_search.space import SPACE as LGCNET
from lgcnet_search.space.digest import space_digest as lgcnet_digest
from lgcnet_search.space.fused import fused_share
from lgcnet_search.space.genotype import Genotype, varied_genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from lut_server.analysis.error_card import figures
from tests.support.installing import install

BASIS: Basis = "normalized_us"
COUNTS = (4, 6, 8, 16, 32)
POOL = 400
NETWORKS_PER_JOB = 26
"""More of them share what the machine goes through; ONNX Runtime takes some 80 MB for each in every process."""


@dataclass(frozen=True)
class Subject:
    """A search space at an input size: what the agent installs, its operations, networks of it."""

    name: str
    space_digest: str
    requirement: str
    operations: tuple[OperationSpec, ...]
    sample: Callable[[int], NetworkSpec]
    find: Callable[[LatencyTable, int], list[NetworkSpec]]
    fused_share: Callable[[NetworkSpec, tuple[Kernel, ...]], float] | None = None


@dataclass(frozen=True)
class Networks:
    """Measured networks by their part; latencies in microseconds. `kernels`: what was executed, by network's digest."""

    calibration: list[TimedNetwork]
    random: list[TimedNetwork]
    found: list[TimedNetwork]
    again: list[TimedNetwork]
    """The held-out ones once more."""
    kernels: dict[str, tuple[Kernel, ...]]

    @property
    def held_out(self) -> list[TimedNetwork]:
        return self.random + self.found

    @property
    def measuring(self) -> float | None:
        """The mean error of a held-out network's measurement, relative, by the intervals; None without one of each."""
        stds = [timed.std_rel for timed in self.held_out if timed.std_rel is not None]
        return MEAN_ERROR * sum(stds) / len(stds) if stds and len(stds) == len(self.held_out) else None

    @property
    def disagreement(self) -> float | None:
        """The mean difference of the two measurements of a held-out network, relative to their mean."""
        first = {timed.network.digest: timed.measured_us for timed in self.held_out}
        pairs = [(first[timed.network.digest], timed.measured_us) for timed in self.again]
        differences = [abs(left - right) / ((left + right) / 2) for left, right in pairs]
        return sum(differences) / len(differences) if differences else None


class Measurements:
    """Measurements in a file of JSON lines, each written when its job ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        self.by_key = {measurement.key: measurement for measurement in map(Measurement.model_validate_json, lines)}

    def add(self, measured: dict[str, Measurement]) -> None:
        self.by_key.update(measured)
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(measurement.model_dump_json() + "\n" for measurement in measured.values())


def main() -> None:
    options = _parsed()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if options.space == "lgcnet":
            subject = _lgcnet(options.height or 385, options.width or 769)
        else:
            subject = _mobile(options.height or 224, folder / "site")
        for mode in options.mode or ("pytorch", "onnxruntime"):
            table, networks = _measured(subject, cast(Mode, mode), options, folder)
            result[mode] = _report(mode, table, networks, options.calibration)
            result[mode] |= _fused(subject, table, networks)
            if options.folder:
                _draw(folder / f"{subject.name}-{mode}", table, networks, options.calibration, result[mode])
    finish(result)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", choices=("lgcnet", "mobile"), default="lgcnet")
    parser.add_argument("--mode", action="append", help="a runtime mode; may be repeated (pytorch and onnxruntime)")
    parser.add_argument("--height", type=int, help="of the input (default 385; mobile 224)")
    parser.add_argument("--width", type=int, help="of LGCNet's input (default 769)")
    parser.add_argument("--calibration", type=int, default=16, help="networks to calibrate with (default 16)")
    parser.add_argument("--most", type=int, default=32, help="networks to choose them from, measured too (default 32)")
    parser.add_argument("--held-out", type=int, default=50, help="random networks to predict (default 50)")
    parser.add_argument("--found", type=int, default=10, help="found networks to predict (default 10)")
    parser.add_argument("--network-s", type=float, default=6.0, help="seconds for each network (default 6)")
    parser.add_argument("--once", action="store_true", help="measure the held-out networks once only")
    parser.add_argument("--folder", type=Path, help="keep measurements and pictures here, and go on from them")
    return parser.parse_args()


def _measured(subject: Subject, mode: Mode, options: argparse.Namespace, folder: Path) -> tuple[LatencyTable, Networks]:
    measurements = Measurements(folder / f"{subject.name}-{mode}.jsonl")
    runtime = Runtime(mode=mode, threads=1)
    standard = folder / f"standard-{mode}.json"
    agent = LocalAgent(runtime, subject.name, subject.space_digest, subject.requirement, standard=standard)
    missing = [operation for operation in subject.operations if operation.digest not in measurements.by_key]
    if missing:
        measurements.add(agent.measure(missing))
    table = agent.table(subject.operations, measurements.by_key)

    draw_from = random.Random(0)
    pool = [subject.sample(seed) for seed in range(POOL)]
    draw_from.shuffle(pool)
    calibration = choose(table, pool[: POOL // 2], options.most, BASIS)
    others = sorted(pool[POOL // 2 :], key=lambda network: network_us(table, network, BASIS))
    indices = np.linspace(0, len(others) - 1, options.held_out).round().astype(int)
    spread = [others[index] for index in indices]
    found = subject.find(table, options.found)

    def observe(networks: Sequence[NetworkSpec], measurements: Measurements) -> None:
        """Measure the networks that were not before, in random order."""
        todo = list({network.digest: network for network in networks}.values())
        todo = [network for network in todo if network.digest not in measurements.by_key]
        draw_from.shuffle(todo)
        for start in range(0, len(todo), NETWORKS_PER_JOB):
            part = todo[start : start + NETWORKS_PER_JOB]
            measurements.add(agent.measure(networks=part, effort=Effort(budget_s=options.network_s * len(part))))
            print(f"{mode}: {min(start + NETWORKS_PER_JOB, len(todo))} of {len(todo)} networks", flush=True)

    def timed(networks: Sequence[NetworkSpec], measurements: Measurements) -> list[TimedNetwork]:
        taken = [agent.restated(measurements.by_key[network.digest]) for network in networks]
        return [TimedNetwork.of(network, one, BASIS) for network, one in zip(networks, taken, strict=True)]

    observe([*calibration, *spread, *found], measurements)
    again = Measurements(folder / f"{subject.name}-{mode}-again.jsonl")
    if not options.once:
        observe([*spread, *found], again)
    kernels = {key: measurement.kernels for key, measurement in measurements.by_key.items() if measurement.kernels}
    return table, Networks(
        calibration=timed(calibration, measurements),
        random=timed(spread, measurements),
        found=timed(found, measurements),
        again=[] if options.once else timed([*spread, *found], again),
        kernels=kernels,
    )


def _report(mode: str, table: LatencyTable, networks: Networks, count: int) -> dict[str, Any]:
    held_out = networks.held_out
    measured_us = [timed.measured_us for timed in held_out]
    raw_us = [network_us(table, timed.network, BASIS) for timed in held_out]
    rows: list[tuple[str, PredictionFigures, float | None]] = [("raw sum", figures(raw_us, measured_us), None)]
    affine = _line(table, _first(table, networks.calibration, count))
    rows.append((f"line through {count}", figures([affine(raw) for raw in raw_us], measured_us), None))
    plain: dict[str, float] = {}
    for number in (count for count in COUNTS if count <= len(networks.calibration)):
        observed = _first(table, networks.calibration, number)
        rows.append((f"calibrated by {number}", *_predicted(Calibrated(table, observed, BASIS), held_out)))
        without, inside = _predicted(Calibrated(table, observed, BASIS, parts=()), held_out)
        rows.append((f"  by {number}, no parts", without, inside))
        plain[str(number)] = round(without.mape, 5)
    span = max(measured_us) / min(measured_us)
    disagreement = networks.disagreement
    show(
        f"{mode}: {len(networks.random)} random and {len(networks.found)} found networks held out, "
        f"{min(measured_us) / 1000:.1f} to {max(measured_us) / 1000:.1f} ms (factor {span:.2f})",
        ["prediction", "MAPE", "worst", "within 5 %", "tau", "in 90 % interval"],
        [
            [
                name,
                f"{errors.mape:.2%}",
                f"{errors.max_rel:.2%}",
                f"{errors.within_5:.0%}",
                "" if errors.tau is None else f"{errors.tau:.3f}",
                "" if inside is None else f"{inside:.0%}",
            ]
            for name, errors, inside in rows
        ],
    )
    if disagreement is not None:
        print(f"measured twice, in jobs apart, the held-out networks disagree by {disagreement:.2%} in the mean")
    if networks.measuring is not None:
        print(f"by their intervals, their measurements are off by {networks.measuring:.2%} in the mean")
    by_name = {name: (errors, inside) for name, errors, inside in rows}
    calibrated, coverage = by_name[f"calibrated by {count}"]
    return {
        **_short(calibrated),
        "coverage90": None if coverage is None else round(coverage, 4),
        "coverage90_by_networks": {
            str(number): round(by_name[name][1] or 0.0, 4)
            for number in COUNTS
            if (name := f"calibrated by {number}") in by_name
        },
        "measuring": None if networks.measuring is None else round(networks.measuring, 5),
        "disagreement": None if disagreement is None else round(disagreement, 5),
        "span": round(span, 3),
        "raw": _short(by_name["raw sum"][0]),
        "affine": _short(by_name[f"line through {count}"][0]),
        "mape_by_networks": {
            "0": round(by_name["raw sum"][0].mape, 5),
            **{
                str(number): round(by_name[name][0].mape, 5)
                for number in COUNTS
                if (name := f"calibrated by {number}") in by_name
            },
        },
        "mape_without_parts_by_networks": plain,
    }


def _predicted(fitted: Calibrated, held_out: Sequence[TimedNetwork]) -> tuple[PredictionFigures, float]:
    """The figures of held-out networks, and the share of them inside their intervals."""
    estimates = fitted.predict_all([timed.network for timed in held_out])
    measured_us = [timed.measured_us for timed in held_out]
    pairs = zip(estimates, measured_us, strict=True)
    inside = sum(estimate.low_us <= latency_us <= estimate.high_us for estimate, latency_us in pairs)
    return figures([estimate.latency_us for estimate in estimates], measured_us), inside / len(held_out)


def _fused(subject: Subject, table: LatencyTable, networks: Networks) -> dict[str, Any]:
    """Does what a library fuses explain what the sum of rows misses? Kendall's τ of the two, networks held out."""
    known = [timed for timed in networks.held_out if timed.network.digest in networks.kernels]
    if subject.fused_share is None or not known:
        return {}
    shares = [subject.fused_share(timed.network, networks.kernels[timed.network.digest]) for timed in known]
    errors = [network_us(table, timed.network, BASIS) / timed.measured_us - 1 for timed in known]
    tau = kendall_tau(shares, errors)
    print(
        f"{min(shares):.0%} to {max(shares):.0%} of a network's operations share a kernel with another; with the error "
        f"of the raw sum that has a Kendall's tau of {'–' if tau is None else f'{tau:.2f}'}"
    )
    return {"fused_share": round(float(np.mean(shares)), 4), "tau_fused_and_raw_error": tau and round(tau, 4)}


def _draw(base: Path, table: LatencyTable, networks: Networks, count: int, result: dict[str, Any]) -> None:
    fitted = Calibrated(table, _first(table, networks.calibration, count), BASIS)
    points = [
        Point(
            group="random" if timed in networks.random else "found",
            measured_us=timed.measured_us,
            raw_us=network_us(table, timed.network, BASIS),
            predicted=fitted.predict(timed.network),
            launches=sum(counted.count for counted in timed.network.operations),
        )
        for timed in networks.held_out
    ]
    predicted_and_residuals(points, base.with_name(f"{base.name}-networks.png"))
    error_by_networks(result["mape_by_networks"], base.with_name(f"{base.name}-error.png"))


def _first(table: LatencyTable, observed: Sequence[TimedNetwork], count: int) -> list[TimedNetwork]:
    """The `count` most telling ones of the networks that were measured to calibrate."""
    by_digest = {timed.network.digest: timed for timed in observed}
    candidates = [timed.network for timed in observed]
    return [by_digest[network.digest] for network in choose(table, candidates, count, BASIS)]


def _line(table: LatencyTable, observed: Sequence[TimedNetwork]) -> Callable[[float], float]:
    raw_us = np.array([network_us(table, timed.network, BASIS) for timed in observed])
    slope, constant = np.polyfit(raw_us, [timed.measured_us for timed in observed], 1)
    return lambda raw: float(slope * raw + constant)


def _short(errors: PredictionFigures) -> dict[str, float | None]:
    return {
        "mape": round(errors.mape, 5),
        "max_rel": round(errors.max_rel, 5),
        "tau": None if errors.tau is None else round(errors.tau, 4),
    }


def _lgcnet(height: int, width: int) -> Subject:
    space = Space(height=height, width=width)

    def sample(seed: int) -> NetworkSpec:
        return network_spec(varied_genotype(space, seed))

    def find(table: LatencyTable, count: int) -> list[NetworkSpec]:
        """By short searches with different weights of the latency."""
        proxy = replace(space, height=64, width=128, channels=4)
        scenes = generated_scenes(32)
        genotypes: list[Genotype] = []
        for number in range(count):
            settings = SearchSettings(
                steps=20, seed=number, sampling="hard", beta=0.02 * number / max(1, count - 1), alpha_lr=0.2
            )
            batches = search_batches(scenes, space, proxy, 2, number, 0)
            genotypes.append(search(space, proxy, Latencies(table), batches, settings).genotype)
        return [network_spec(genotype) for genotype in genotypes]

    def share(network: NetworkSpec, kernels: tuple[Kernel, ...]) -> float:
        return fused_share(kernels, Genotype.from_json(network.genotype))

    return Subject(LGCNET, lgcnet_digest(), LGCNET_REQUIREMENT, space.operations, sample, find, share)


def _mobile(side: int, site: Path) -> Subject:
    """The space of examples/mobile_space, installed for the agent's processes in the folder `site`."""
    install(Path(mobile.__file__).parent, site)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    space = MobileSpace(side=side, widths=(1.0,))

    def sample(seed: int) -> NetworkSpec:
        return mobile_spec(mobile_genotype(space, seed))

    def find(table: LatencyTable, count: int) -> list[NetworkSpec]:
        """The fastest of many, by the table."""
        drawn = [sample(seed) for seed in range(POOL, 2 * POOL)]
        return sorted(drawn, key=lambda network: network_us(table, network, BASIS))[:count]

    return Subject(MOBILE, mobile_digest(), MOBILE_REQUIREMENT, space.operations, sample, find)


if __name__ == "__main__":
    main()
