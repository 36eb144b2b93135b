"""Two tables of this CPU, the same keys by three other ways in the same wall time, and networks in two jobs apart."""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks._agent import LocalAgent
from benchmarks._common import finish, show
from benchmarks._other_ways import WARM_UP
from latency_tables.contract import Effort, Measurement, Runtime
from latency_tables.latencies import latency_us
from latency_tables.statistics import quantile
from lgcnet_search.space import REQUIREMENT, SPACE
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import varied_genotype
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space

NETWORKS = 12
NETWORK_ROUNDS = 14
NETWORKS_S = 60.0

WAYS = ("fixed mean", "blocked_autorange", "adaptive_autorange")


@dataclass(frozen=True)
class Ours:
    """A job by the agent: its measurements by key, and how long it took."""

    measurements: Mapping[str, Measurement]
    seconds: float

    @property
    def median_us(self) -> dict[str, float]:
        return {key: measurement.latency.median_us for key, measurement in self.measurements.items()}

    @property
    def normalized_us(self) -> dict[str, float]:
        return {key: latency_us(measurement, "normalized_us") for key, measurement in self.measurements.items()}

    @property
    def sound(self) -> set[str]:
        return {key for key, measurement in self.measurements.items() if measurement.quality.sound}

    def holding(self, other: "Ours", keys: Collection[str]) -> float | None:
        """The share of `keys` whose two intervals overlap: that both measured one latency."""
        pairs = [(self.measurements[key], other.measurements[key]) for key in keys]
        overlaps = [
            (first.normalized_low_us or 0.0) <= (second.normalized_high_us or math.inf)
            and (second.normalized_low_us or 0.0) <= (first.normalized_high_us or math.inf)
            for first, second in pairs
        ]
        return sum(overlaps) / len(overlaps) if overlaps else None


class Benchmark:
    """`keys` operations of LGCNet at this size, and networks at half of it; `budget_s` bounds each table.

    None is the agent's own bound.
    """

    def __init__(self, height: int, width: int, keys: int | None, budget_s: float | None, traces: Path | None) -> None:
        self._size = height, width
        operations = Space(height=height, width=width).operations
        step = max(1, len(operations) // keys) if keys else 1
        self._operations = operations[::step][:keys]
        self.keys = [operation.digest for operation in self._operations]
        self._effort = Effort(budget_s=budget_s)
        half = Space(height=height // 2 + 1, width=width // 2 + 1)
        self._networks = [network_spec(varied_genotype(half, seed)) for seed in range(NETWORKS)]
        self._agent = LocalAgent(Runtime(threads=1), SPACE, space_digest(), REQUIREMENT, traces=traces)

    def ours(self) -> Ours:
        """A table in processes of its own; the first one's standard state is the second one's."""
        started = time.monotonic()
        measurements = self._agent.measure(self._operations, effort=self._effort)
        return Ours(measurements, time.monotonic() - started)

    def networks(self, jobs: int) -> list[Ours]:
        """So many jobs of networks, all beside the anchor of the first one, at the state that all of them learned."""
        effort = Effort(min_blocks=NETWORK_ROUNDS, budget_s=NETWORKS_S)
        done = []
        for _ in range(jobs):
            started = time.monotonic()
            done.append(Ours(self._agent.measure(networks=self._networks, effort=effort), time.monotonic() - started))
        return [
            Ours({key: self._agent.restated(one) for key, one in job.measurements.items()}, job.seconds) for job in done
        ]

    def other(self, way: str, like: Ours) -> dict[str, float]:
        """The same keys in as much wall time as `like` took, in a fresh process."""
        one_pass_s = sum(like.median_us.values()) / 1e6
        height, width = self._size
        task = {
            "way": way,
            "height": height,
            "width": width,
            "keys": self.keys,
            "seconds_per_key": like.seconds / len(self.keys),
            "repeats": max(10, round(like.seconds / one_pass_s) - WARM_UP),
        }
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks._other_ways"],
            input=json.dumps(task),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=dict(os.environ),
        )
        latencies_us: dict[str, float] = json.loads(ended.stdout)
        return latencies_us


def disagreement(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[float, float]:
    """Median and p95 of |Δ| over the keys, relative to the mean of the two."""
    differences = sorted(abs(first[key] - second[key]) / ((first[key] + second[key]) / 2) for key in first)
    return statistics.median(differences), quantile(differences, 0.95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=769)
    parser.add_argument("--width", type=int, default=1537)
    parser.add_argument("--keys", type=int, help="so many operations, spread over the space (default: all)")
    parser.add_argument("--table-s", type=float, help="seconds for a table (default: what the agent takes)")
    parser.add_argument("--traces", type=Path, help="keep every block of ours here, as .npz")
    parser.add_argument("--alone", type=int, help="so many tables of ours and nothing else")
    parser.add_argument("--networks", type=int, help="so many jobs of networks and nothing else")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        traces: Path = arguments.traces or Path(scratch)
        traces.mkdir(parents=True, exist_ok=True)
        benchmark = Benchmark(arguments.height, arguments.width, arguments.keys, arguments.table_s, traces.resolve())
        if arguments.networks:
            finish({"networks": _repeated("networks", benchmark.networks(arguments.networks))})
        elif arguments.alone:
            finish({"tables": _repeated("operations", [benchmark.ours() for _ in range(arguments.alone)])})
        else:
            _compare(benchmark)


def _repeated(name: str, jobs: Sequence[Ours]) -> dict[str, float | int | None]:
    """What jobs of the same keys disagree about, over all pairs of them; prints it as a table."""
    pairs = [
        (disagreement(first.normalized_us, second.normalized_us), disagreement(first.median_us, second.median_us))
        for first, second in combinations(jobs, 2)
    ]
    median_rel, p95_rel, raw_median_rel, raw_p95_rel = np.mean([(*ours, *raw) for ours, raw in pairs], axis=0)
    held = [first.holding(second, first.sound & second.sound) for first, second in combinations(jobs, 2)]
    shares = [share for share in held if share is not None]
    doubtful = max(len(job.measurements) - len(job.sound) for job in jobs)
    show(
        f"{len(jobs)} jobs of {len(jobs[0].measurements)} {name}, {max(job.seconds for job in jobs):.0f} s at most",
        ["way", "median", "p95"],
        [
            ["normalized", f"{median_rel:.2%}", f"{p95_rel:.2%}"],
            ["as they ran", f"{raw_median_rel:.2%}", f"{raw_p95_rel:.2%}"],
        ],
    )
    return {
        "median_rel": round(float(median_rel), 5),
        "p95_rel": round(float(p95_rel), 5),
        "seconds": round(max(job.seconds for job in jobs), 1),
        "doubtful": doubtful,
        "sound_repeat": round(sum(shares) / len(shares), 4) if shares else None,
    }


def _compare(benchmark: Benchmark) -> None:
    tables: list[Ours] = []
    others: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(2):
        tables.append(benchmark.ours())
        for way in WAYS:
            others[way].append(benchmark.other(way, like=tables[0]))
    networks = _repeated("networks", benchmark.networks(2))
    first, second = tables
    normalized = disagreement(first.normalized_us, second.normalized_us)
    figures = {
        "ours, normalized": normalized,
        "ours, raw": disagreement(first.median_us, second.median_us),
        **{way: disagreement(*repeats) for way, repeats in others.items()},
    }
    show(
        f"Disagreement of two repeats over {len(benchmark.keys)} operations, {first.seconds:.0f} s each",
        ["way", "median", "p95"],
        [[name, f"{middle:.2%}", f"{high:.2%}"] for name, (middle, high) in figures.items()],
    )
    finish(
        {
            "median_rel": round(normalized[0], 5),
            "p95_rel": round(normalized[1], 5),
            "networks": networks,
            "table_s": round(max(table.seconds for table in tables), 1),
            "ratio_to_best_other": round(normalized[1] / min(figures[way][1] for way in WAYS), 4),
            "ratio_median": round(normalized[0] / min(figures[way][0] for way in WAYS), 4),
        }
    )


if __name__ == "__main__":
    main()
