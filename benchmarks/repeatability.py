"""Two independent full tables of this CPU, and the same keys by three other ways in the same wall time."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks._agent import LocalAgent
from benchmarks._common import finish, show
from benchmarks._other_ways import WARM_UP
from latency_tables.contract import Effort, Runtime
from latency_tables.statistics import quantile
from lgcnet_search.space import REQUIREMENT, SPACE
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.space import Space

WAYS = ("fixed mean", "blocked_autorange", "adaptive_autorange")


@dataclass(frozen=True)
class Ours:
    """A table by the agent: microseconds per key, and how long it took."""

    median_us: dict[str, float]
    normalized_us: dict[str, float]
    doubtful: int
    seconds: float


class Benchmark:
    """`keys` operations of LGCNet at this size; `budget_s` bounds each table, None is the agent's own bound."""

    def __init__(self, height: int, width: int, keys: int | None, budget_s: float | None, traces: Path | None) -> None:
        self._size = height, width
        operations = Space(height=height, width=width).operations
        step = max(1, len(operations) // keys) if keys else 1
        self._operations = operations[::step][:keys]
        self.keys = [operation.digest for operation in self._operations]
        self._effort = Effort(budget_s=budget_s)
        self._agent = LocalAgent(Runtime(threads=1), SPACE, space_digest(), REQUIREMENT, traces=traces)

    def ours(self) -> Ours:
        """A table in processes of its own; the first one's standard state is the second one's."""
        started = time.monotonic()
        measurements = self._agent.measure(self._operations, effort=self._effort)
        return Ours(
            median_us={key: measurement.latency.median_us for key, measurement in measurements.items()},
            normalized_us={
                key: measurement.normalized_us or measurement.latency.median_us
                for key, measurement in measurements.items()
            },
            doubtful=sum(not measurement.quality.sound for measurement in measurements.values()),
            seconds=time.monotonic() - started,
        )

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
    parser.add_argument("--alone", type=int, help="so many tables of ours and nothing else, for the traces")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        traces: Path = arguments.traces or Path(scratch)
        traces.mkdir(parents=True, exist_ok=True)
        benchmark = Benchmark(arguments.height, arguments.width, arguments.keys, arguments.table_s, traces.resolve())
        if arguments.alone:
            for number in range(arguments.alone):
                table = benchmark.ours()
                print(f"table {number + 1}: {table.seconds:.0f} s, {table.doubtful} of {len(table.median_us)} doubtful")
            return
        _compare(benchmark)


def _compare(benchmark: Benchmark) -> None:
    tables: list[Ours] = []
    others: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(2):
        tables.append(benchmark.ours())
        for way in WAYS:
            others[way].append(benchmark.other(way, like=tables[0]))
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
            "table_s": round(max(table.seconds for table in tables), 1),
            "ratio_to_best_other": round(normalized[1] / min(figures[way][1] for way in WAYS), 4),
            "ratio_median": round(normalized[0] / min(figures[way][0] for way in WAYS), 4),
        }
    )


if __name__ == "__main__":
    main()
