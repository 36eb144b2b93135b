"""Intervals on synthetic traces: how often they hold the truth, and how often one thing is called two."""

import argparse
import math
import random
import statistics
from collections.abc import Callable

from benchmarks._common import finish, show
from latency_tables.statistics import Interval, median_interval
from lut_server.analysis import bootstrap
from lut_server.analysis.comparison import MARGIN_REL, verdict
from profiler_agent.doubt import Block, Doubt
from profiler_agent.measuring.policy import Policy, StoppingRule
from profiler_agent.measuring.rounds import RoundReport, Rounds, Take

RULE = StoppingRule(target_rel=0.02, min_blocks=12, max_blocks=210, max_rejected=12, band_rel=1.0)
KEYS = 20
BLOCK_S = 0.01


Draw = Callable[[random.Random, float], Block]
"""Draws a block, at a time in seconds; a monitor sees some of the disturbances that are in it."""


def normal(generator: random.Random, now_s: float) -> Block:
    del now_s
    return Block(generator.gauss(100, 1))


def drift(generator: random.Random, now_s: float) -> Block:
    """Three per cent up and down, faster than a measurement and slower than a round."""
    return Block(generator.gauss(100, 1) * (1 + 0.03 * math.sin(now_s / 1.7 * 2 * math.pi)))


def two_modes(generator: random.Random, now_s: float) -> Block:
    del now_s
    return Block(generator.gauss(100 if generator.random() < 0.75 else 104, 1))


def steal(generator: random.Random, now_s: float) -> Block:
    """Other machines take time from a tenth of the blocks, and most of them are seen."""
    del now_s
    if generator.random() < 0.9:
        return Block(generator.gauss(100, 1))
    doubt = Doubt.DISTURBED if generator.random() < 0.8 else Doubt.NONE
    return Block(generator.gauss(100, 1) + generator.expovariate(1 / 30), doubt)


def throttling(generator: random.Random, now_s: float) -> Block:
    """A fifth of the time, in stretches of half a second, clocks are down, which the counters tell."""
    hot = (now_s / 0.5 + 0.3) % 5 < 1
    return Block(generator.gauss(100, 1) * (1.2 if hot else 1), Doubt.THROTTLED if hot else Doubt.NONE)


def heavy_tails(generator: random.Random, now_s: float) -> Block:
    """Student's t with two degrees of freedom, in logarithms."""
    del now_s
    return Block(100 * math.exp(0.02 * generator.gauss(0, 1) / math.sqrt(generator.gammavariate(1, 1))))


TRACES: dict[str, tuple[Draw, float]] = {
    "normal": (normal, 100.0),
    "drift": (drift, 100.0),
    "two modes": (two_modes, 100.43),
    "steal": (steal, 100.0),
    "throttling": (throttling, 100.0),
    "heavy tails": (heavy_tails, 100.0),
}
"""With the median of what is undisturbed."""


def measure(draw: Draw, seed: int) -> list[tuple[float, ...]]:
    """The samples of KEYS workloads that all are this trace, measured in rounds of simulated time."""
    generator = random.Random(seed)
    now_s = generator.uniform(0, 100)

    def taker() -> Take:
        def take(process: int) -> Block:
            nonlocal now_s
            del process
            now_s += BLOCK_S
            return draw(generator, now_s)

        return take

    takes = {f"w{number}": taker() for number in range(KEYS)}
    rounds = Rounds(takes, {}, Policy(RULE, takes), seed=seed, clock=lambda: now_s)
    return [result.samples_us for news in rounds.run() if not isinstance(news, RoundReport) for result in news]


def is_different(first: tuple[float, ...], second: tuple[float, ...], seed: str) -> bool:
    """The server's rule: the whole interval of the ratio of the medians lies beyond the margin."""
    draws = zip(bootstrap.log_medians(first, seed + "a"), bootstrap.log_medians(second, seed + "b"), strict=True)
    logs = bootstrap.interval([x - y for x, y in draws])
    return verdict(Interval(math.exp(logs.low), math.exp(logs.high)), MARGIN_REL) in ("faster", "slower")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40, help="tables per trace (default 40)")
    runs: int = parser.parse_args().runs
    rows, coverages, different, pairs = [], [], 0, 0
    for name, (draw, truth_us) in TRACES.items():
        tables = [measure(draw, seed) for seed in range(runs)]
        intervals = [median_interval(sorted(samples)) for table in tables for samples in table]
        covered = statistics.fmean(interval.low <= truth_us <= interval.high for interval in intervals)
        called = [
            is_different(first, second, f"{name}{pair}{key}")
            for pair, (left, right) in enumerate(zip(tables[::2], tables[1::2], strict=True))
            for key, (first, second) in enumerate(zip(left, right, strict=True))
        ]
        blocks = statistics.fmean(len(samples) for table in tables for samples in table)
        rows.append([name, f"{covered:.1%}", f"{statistics.fmean(called):.2%}", f"{blocks:.0f}"])
        coverages.append(covered)
        different += sum(called)
        pairs += len(called)
    show(f"{runs} tables of {KEYS} operations per trace", ["trace", "covered", "called different", "blocks"], rows)
    finish({"coverage_min": round(min(coverages), 4), "false_different": round(different / pairs, 5)})


if __name__ == "__main__":
    main()
