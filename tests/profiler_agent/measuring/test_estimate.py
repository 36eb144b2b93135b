"""The estimate at the standard state, on synthetic traces whose truth is known; traces to and from a file."""

import math
from pathlib import Path

import numpy as np
import pytest

from profiler_agent.doubt import Doubt
from profiler_agent.measuring.estimate import normalize, standard_of
from profiler_agent.measuring.trace import Entry, Trace

REFERENCES = {"arithmetic": 1000.0, "bandwidth": 5000.0}
SENSITIVITIES = {"arithmetic": 0.2, "bandwidth": 0.5}
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
    return {key: normalized.latency_us for key, normalized in normalize(drawn, standard, SENSITIVITIES).items()}


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
    alone = normalize(drawn, REFERENCES, SENSITIVITIES, ["w3"])
    assert alone == {"w3": normalize(drawn, REFERENCES, SENSITIVITIES)["w3"]}


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


def _median(drawn: Trace, key: str) -> float:
    return float(np.median(drawn.latency_us[drawn.name == drawn.names.index(key)]))
