"""The estimate at the standard state, on synthetic traces whose truth is known; traces to and from a file."""

import math
from pathlib import Path

import numpy as np
import pytest

from profiler_agent.doubt import Doubt
from profiler_agent.measuring.estimate import (
    CONFIDENCE,
    FASTER_REL,
    Follow,
    Normalized,
    learned,
    normalize,
    standard_of,
)
from profiler_agent.measuring.trace import Entry, Trace

REFERENCES = {"arithmetic": 1000.0, "bandwidth": 5000.0}
FOLLOW = Follow({"arithmetic": 0.2, "bandwidth": 0.5}, quantile=0.05, floor_rel=0.0)
TRUTH = {f"w{number}": 100.0 * 1.3**number for number in range(12)}


def trace(seed: int, level: float, rounds: int = 40, noise: float = 0.01) -> Trace:
    """A machine whose bandwidth is slower by a factor exp(level), drifting by a tenth; each key shows half of it."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * math.pi)
    entries = []
    for number in range(rounds):
        bandwidth = level + 0.1 * math.sin(number / rounds * 2 * math.pi + phase)
        slowness = {"arithmetic": 0.0, "bandwidth": bandwidth, **dict.fromkeys(TRUTH, 0.5 * bandwidth)}
        for name, latency_us in {**REFERENCES, **TRUTH}.items():
            value = latency_us * math.exp(slowness[name] + random.normal(0, noise))
            entries.append(Entry(name, number, number % 3, 1.5 * number, value, Doubt.NONE, kept=True))
    return Trace.of(tuple(TRUTH), tuple(REFERENCES), entries)


def estimate(drawn: Trace, standard: dict[str, float]) -> dict[str, float]:
    return {key: normalized.latency_us for key, normalized in normalize(drawn, standard, FOLLOW).items()}


def errors(latencies_us: dict[str, float]) -> list[float]:
    return [abs(math.log(latencies_us[key] / TRUTH[key])) for key in TRUTH]


def test_two_runs_in_unlike_states_agree_at_the_standard_state() -> None:
    quiet, busy = trace(1, 0.0), trace(2, 0.15)
    raw = [abs(math.log(_median(quiet, key) / _median(busy, key))) for key in TRUTH]
    normalized = [
        abs(math.log(a / b))
        for a, b in zip(estimate(quiet, REFERENCES).values(), estimate(busy, REFERENCES).values(), strict=True)
    ]
    assert max(raw) > 0.05
    assert max(normalized) < 0.03
    assert max(errors(estimate(busy, REFERENCES))) < 0.05


def test_what_only_adds_and_comes_and_goes_does_not_count() -> None:
    calm = trace(3, 0.05)
    drawn = trace(3, 0.05)
    hit = np.random.default_rng(0).random(len(drawn.latency_us)) < 0.6
    drawn.latency_us[hit & (drawn.name < len(TRUTH))] *= 1.5
    for key, latency_us in estimate(drawn, REFERENCES).items():
        assert latency_us == pytest.approx(estimate(calm, REFERENCES)[key], rel=0.02)


def test_blocks_thrown_away_do_not_count_and_a_key_without_blocks_has_no_estimate() -> None:
    drawn = trace(4, 0.0)
    first = drawn.name == 0
    drawn.kept[first] = False
    assert set(estimate(drawn, REFERENCES)) == set(TRUTH) - {"w0"}


def test_only_the_keys_asked_for_are_normalized_and_as_among_all() -> None:
    drawn = trace(8, 0.1)
    alone = normalize(drawn, REFERENCES, FOLLOW, ["w3"])
    assert alone == {"w3": normalize(drawn, REFERENCES, FOLLOW)["w3"]}


def test_the_standard_is_a_quiet_state() -> None:
    drawn = trace(6, 0.0)
    assert 0.9 * REFERENCES["bandwidth"] < standard_of(drawn)["bandwidth"] < REFERENCES["bandwidth"]


def test_a_trace_survives_its_file(tmp_path: Path) -> None:
    drawn = trace(7, 0.0, rounds=3)
    drawn.save(tmp_path / "trace.npz")
    read = Trace.load(tmp_path / "trace.npz")
    assert (read.keys, read.reference_names) == (tuple(TRUTH), tuple(REFERENCES))
    assert read.latency_us.tolist() == drawn.latency_us.tolist()
    assert estimate(read, REFERENCES) == pytest.approx(estimate(drawn, REFERENCES))


ANCHORED = Follow({"anchor": 1.0}, quantile=0.5, floor_rel=0.0)


def session(seed: int, processes: int = 2, keys: int = 12, between: float = 0.01, rounds: int = 16) -> Trace:
    """Networks beside an anchor on a loud machine: its state drifts by ± 10 %, jumps, and differs between sessions.

    In each process a network has a latency of its own, `between` (standard deviation of the logarithm) from the truth.
    """
    random = np.random.default_rng(seed)
    offset, phase, jump = random.normal(0, 0.03), random.uniform(0, 2 * math.pi), random.integers(rounds)
    own = random.normal(0, between, (processes, keys))
    names = [f"w{number}" for number in range(keys)]
    entries = []
    at_s = 0.0
    for number in range(rounds):
        process = number % processes
        for position, index in enumerate(random.permutation(keys)):
            for name in (names[index], "anchor")[: 2 - position % 2]:
                at_s += 0.3
                state = offset + 0.1 * math.sin(at_s / 40 + phase) + 0.08 * (number >= jump)
                log_us = math.log(1000.0) if name == "anchor" else math.log(TRUTH[name]) + own[process, index]
                value = math.exp(log_us + state + random.normal(0, 0.01))
                entries.append(Entry(name, number, process, at_s, value, Doubt.NONE, kept=True))
    return Trace.of(tuple(names), ("anchor",), entries)


def holds(normalized: Normalized, truth_us: float) -> bool:
    return normalized.low_us <= truth_us <= normalized.high_us


def test_the_ratio_to_an_anchor_holds_still_where_latencies_drift_and_jump() -> None:
    first, second = (normalize(session(seed, between=0.0), {"anchor": 1000.0}, ANCHORED) for seed in (1, 2))
    differences = [abs(math.log(first[key].latency_us / second[key].latency_us)) for key in first]
    raw = [abs(math.log(_median(session(1), key) / _median(session(2), key))) for key in first]
    assert np.median(differences) < 0.01
    assert np.median(raw) > 0.03


def test_a_standard_state_of_a_loud_moment_is_learned_anew_when_a_job_runs_faster() -> None:
    quiet = session(3)
    now = standard_of(quiet)
    assert learned({}, quiet, ANCHORED) == now
    assert learned({"anchor": 2 * now["anchor"]}, quiet, ANCHORED) == now
    little = {"anchor": now["anchor"] * (1 + FASTER_REL / 2)}
    assert learned(little, quiet, ANCHORED) == little, "usual drift: results stay as they are"
    loud = {"anchor": now["anchor"] / 2, "anchor of other networks": 7.0}
    assert learned(loud, quiet, ANCHORED) == loud, "louder than usual is what ratios are for"


def test_a_reference_that_shows_part_of_the_state_keeps_its_first_reading() -> None:
    drawn = trace(8, 0.1)
    first = {name: 2 * us for name, us in standard_of(drawn).items()}
    assert learned(first, drawn, FOLLOW) == first


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_intervals_hold_the_truth_as_often_as_they_say(processes: int) -> None:
    between = 0.01 if processes > 1 else 0.0  # one process says nothing of others
    inside = []
    for seed in range(40):
        drawn = session(seed, processes, between=between)
        inside += [holds(one, TRUTH[key]) for key, one in normalize(drawn, {"anchor": 1000.0}, ANCHORED).items()]
    assert CONFIDENCE - 0.03 < np.mean(inside) < 0.995


def test_an_operation_that_differs_between_processes_has_a_wide_interval_however_often_it_is_measured() -> None:
    drawn = session(5, processes=3, between=0.0, rounds=60)
    drawn.latency_us[(drawn.name == 0) & (drawn.process == 1)] *= 1.4
    normalized = normalize(drawn, {"anchor": 1000.0}, ANCHORED)
    assert normalized["w0"].half_width_rel > 0.1
    assert max(normalized[key].half_width_rel for key in list(normalized)[1:]) < 0.03


def _median(drawn: Trace, key: str) -> float:
    return float(np.median(drawn.latency_us[drawn.name == drawn.names.index(key)]))
