"""The estimate at the standard state, on synthetic traces whose truth is known; traces to and from a file."""

import math
from pathlib import Path

import numpy as np
import pytest

from profiler_agent.estimate import Estimator, estimate, standard_of
from profiler_agent.trace import Doubt, Entry, Trace

REFERENCES = {"arithmetic": 1000.0, "memory": 5000.0}
TRUTH = {f"w{number}": 100.0 * 1.3**number for number in range(12)}
SENSITIVITY = {key: (number % 3) / 2 for number, key in enumerate(TRUTH)}


def trace(seed: int, level: float, rounds: int = 40, noise: float = 0.01) -> Trace:
    """A machine whose memory is slower by a factor exp(level), drifting by a tenth; each key feels it differently."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * math.pi)
    entries = []
    for number in range(rounds):
        memory = level + 0.1 * math.sin(number / rounds * 2 * math.pi + phase)
        slowness = {"arithmetic": 0.0, "memory": memory, **{key: SENSITIVITY[key] * memory for key in TRUTH}}
        for name, latency_us in {**REFERENCES, **TRUTH}.items():
            value = latency_us * math.exp(slowness[name] + random.normal(0, noise))
            entries.append(Entry(name, number, number % 3, number / 10, value, Doubt.NONE, kept=True))
    return Trace.of(tuple(TRUTH), tuple(REFERENCES), entries)


def errors(found: dict[str, float]) -> list[float]:
    return [abs(math.log(found[key] / TRUTH[key])) for key in TRUTH]


def test_two_runs_in_unlike_states_agree_at_the_standard_state() -> None:
    quiet, busy = trace(1, 0.0), trace(2, 0.15)
    raw = [abs(math.log(_median(quiet, key) / _median(busy, key))) for key in TRUTH]
    normalized = [
        abs(math.log(a / b))
        for a, b in zip(estimate(quiet, REFERENCES).values(), estimate(busy, REFERENCES).values(), strict=True)
    ]
    assert max(raw) > 0.1
    assert max(normalized) < 0.03
    assert max(errors(estimate(busy, REFERENCES))) < 0.03


def test_disturbed_blocks_do_not_turn_the_fit() -> None:
    drawn = trace(3, 0.05)
    hit = np.random.default_rng(0).random(len(drawn.latency_us)) < 0.1
    drawn.latency_us[hit & (drawn.name < len(TRUTH))] *= 3
    assert max(errors(estimate(drawn, REFERENCES))) < 0.03


def test_blocks_thrown_away_do_not_count_and_a_key_without_blocks_has_no_estimate() -> None:
    drawn = trace(4, 0.0)
    first = drawn.name == 0
    drawn.kept[first] = False
    found = estimate(drawn, REFERENCES)
    assert set(found) == set(TRUTH) - {"w0"}


def test_few_blocks_take_the_common_sensitivities() -> None:
    drawn = trace(5, 0.1)
    drawn.kept[(drawn.name == 1) & (drawn.round > 1)] = False
    found = estimate(drawn, REFERENCES, Estimator(prior_scatter=0.0))
    assert abs(math.log(found["w1"] / TRUTH["w1"])) < 0.08


def test_without_a_standard_the_run_is_its_own() -> None:
    drawn = trace(6, 0.0)
    assert estimate(drawn) == estimate(drawn, standard_of(drawn))
    assert standard_of(drawn)["memory"] < REFERENCES["memory"]


def test_a_trace_survives_its_file(tmp_path: Path) -> None:
    drawn = trace(7, 0.0, rounds=3)
    drawn.save(tmp_path / "trace.npz")
    read = Trace.load(tmp_path / "trace.npz")
    assert (read.keys, read.reference_names) == (tuple(TRUTH), tuple(REFERENCES))
    assert read.latency_us.tolist() == drawn.latency_us.tolist()
    assert estimate(read) == pytest.approx(estimate(drawn))


def _median(drawn: Trace, key: str) -> float:
    return float(np.median(drawn.latency_us[drawn.name == drawn.names.index(key)]))
