"""The stopping rule on synthetic traces, where the truth is known."""

import math
import random
from collections.abc import Callable

import pytest

from latency_tables.statistics import median_interval
from profiler_agent.measuring.stopping import StoppingRule, is_converged, is_noisy, leaves_band, next_look

Trace = Callable[[random.Random], float]

# Each trace with its true median.
TRACES: dict[str, tuple[Trace, float]] = {
    "normal": (lambda r: r.gauss(100, 3), 100.0),
    "heavy tails": (lambda r: 100 * math.exp(0.03 * r.gauss(0, 1) / math.sqrt(r.gammavariate(1, 1))), 100.0),
    "steal": (lambda r: 100 + abs(r.gauss(0, 1)) + (r.expovariate(1 / 30) if r.random() < 0.15 else 0), 100.82),
    "two modes": (lambda r: r.gauss(100 if r.random() < 0.75 else 104, 1), 100.43),
    "throttling": (lambda r: r.gauss(100, 1) * (1.2 if r.random() < 0.2 else 1), 100.32),
}


def true_median(trace: Trace) -> float:
    generator = random.Random(1)
    return sorted(trace(generator) for _ in range(100_001))[50_000]


@pytest.mark.parametrize("name", TRACES)
def test_the_stated_interval_covers_the_true_median(name: str) -> None:
    trace, stated = TRACES[name]
    truth = true_median(trace)
    assert truth == pytest.approx(stated, rel=0.002)
    generator = random.Random(2)
    repeats, covered = 1500, 0
    for _ in range(repeats):
        samples = [trace(generator) for _ in range(12)]
        while not is_converged(samples, 0.01) and len(samples) < 200:
            samples += [trace(generator) for _ in range(next_look(len(samples)) - len(samples))]
        interval = median_interval(sorted(samples))
        covered += interval.low <= truth <= interval.high
    assert covered / repeats >= 0.93


def test_the_target_decides_when_a_trace_has_converged() -> None:
    generator = random.Random(3)
    samples = [generator.gauss(100, 5) for _ in range(20)]
    assert not is_converged(samples, 0.001)
    assert is_converged(samples, 0.2)
    assert is_converged([7.0] * 12, 1e-9)


def test_looks_are_few_and_always_advance() -> None:
    looks = [1]
    while looks[-1] < 200:
        looks.append(next_look(looks[-1]))
    assert len(looks) < 16
    assert looks == sorted(set(looks))


def test_a_band_needs_three_values_and_is_relative_to_their_median() -> None:
    assert not leaves_band(200.0, [100.0, 100.0], 0.1)
    assert leaves_band(112.0, [100.0, 100.0, 500.0], 0.1)
    assert leaves_band(88.0, [100.0, 100.0, 100.0], 0.1)
    assert not leaves_band(109.0, [100.0, 100.0, 100.0], 0.1)


def test_noise_is_a_share_of_doubtful_blocks() -> None:
    assert not is_noisy(2, 20)
    assert is_noisy(3, 20)


def test_a_rule_that_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="min_blocks=20"):
        StoppingRule(target_rel=0.01, min_blocks=20, max_blocks=10, max_rejected=5)
