"""The stopping rule on synthetic traces, where the truth is known, and the policy on plain numbers."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from latency_tables.statistics import median_interval
from profiler_agent.doubt import Block, Doubt
from profiler_agent.measuring.policy import Policy, StoppingRule, is_converged, is_noisy, leaves_band, next_look

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
        StoppingRule(target_rel=0.01, min_blocks=20, max_blocks=10, max_rejected=5, band_rel=0.1)


RULE = StoppingRule(target_rel=0.02, min_blocks=2, max_blocks=4, max_rejected=1, band_rel=0.1)


def play(policy: Policy, blocks: dict[str, Block], reference: float = 1.0, elapsed_s: float = 0.0) -> list[str]:
    """One round of these blocks; the keys whose block was accepted."""
    policy.end_round(0, {"r": [reference]}, elapsed_s)
    return [key for key, block in blocks.items() if policy.accepts(key, block, block_s=0.01)]


def test_a_workload_leaves_at_its_least_blocks_if_it_converged_and_at_its_most_if_not() -> None:
    policy = Policy(RULE, ["still", "wild"])
    left = {}
    for number in range(4):
        play(policy, {key: Block(100.0 if key == "still" else 10.0**number) for key in policy.open_keys})
        left.update({result.key: len(result.samples_us) for result in policy.finish()})
    assert left == {"still": 2, "wild": 4}
    assert policy.open_keys == []


def test_a_spent_budget_ends_the_throwing_away_and_lets_all_leave() -> None:
    policy = Policy(replace(RULE, budget_s=1.0, max_rejected=9), ["a"])
    disturbed = {"a": Block(100.0, Doubt.DISTURBED)}
    assert play(policy, disturbed, elapsed_s=0.9) == []
    assert play(policy, disturbed, elapsed_s=1.1) == ["a"]
    assert policy.finish() == []
    assert play(policy, disturbed, elapsed_s=1.2) == ["a"]
    (result,) = policy.finish()
    assert (result.quality.noisy, result.quality.rejected_blocks) == (True, 1)


def test_a_round_outside_of_its_band_counts_for_nobody_and_only_so_often() -> None:
    policy = Policy(replace(RULE, target_rel=0, max_blocks=60), ["a"], ["r"])
    rising = [play(policy, {"a": Block(100.0)}, reference=2.0**number) for number in range(12)]
    assert [len(accepted) for accepted in rising] == [1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert (policy.rounds, policy.repeated) == (12, 3)


def test_a_frugal_policy_wants_the_half_that_narrows_the_sum_most_once_all_have_their_least() -> None:
    policy = Policy(replace(RULE, frugal=True, target_rel=0, max_blocks=60), "abc")
    assert policy.wants() == ["a", "b", "c"]
    for number in range(2):
        play(policy, {"a": Block(1.0 + number), "b": Block(100.0 + 50 * number), "c": Block(10.0 + 3 * number)})
        policy.finish()
    assert policy.wants() == ["b", "c"]
