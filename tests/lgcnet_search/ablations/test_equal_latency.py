"""Found and random networks at equal latency: matched, resumed, and an advantage that is right."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from lgcnet_search.ablations import network
from lgcnet_search.ablations.advantages import write_levels
from lgcnet_search.ablations.arms import ABLATIONS
from lgcnet_search.ablations.equal_latency import (
    WITHIN,
    Ceiling,
    advantage,
    ceilings_of,
    equally_fast,
    make_levels,
)
from lgcnet_search.ablations.network import Limits, Study, Trial, make
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.search.random_search import RandomSearch, TooFast
from lgcnet_search.space.network import network_spec

EQUAL = ABLATIONS["equal-latency"]


def outcome(miou: float, predicted_us: float = 1000.0, arm: str = "random") -> Outcome:
    return Outcome(arm, 0, {}, predicted_us, 1, 10, miou, {})


def test_a_ceiling_is_met_by_its_share_of_random_networks(study: Study) -> None:
    quarter, twentieth = ceilings_of(EQUAL, study)
    latencies = study.latencies
    drawing = RandomSearch(study.space, latencies)
    drawn = [latencies.network_us(network_spec(drawing.draw(seed))) for seed in range(5000, 5400)]
    assert np.mean(np.array(drawn) <= quarter.at_most_us) == pytest.approx(0.25, abs=0.07)
    assert np.mean(np.array(drawn) <= twentieth.at_most_us) == pytest.approx(0.05, abs=0.035)
    assert (quarter.name, twentieth.name) == ("fastest-25", "fastest-5")
    (given,) = ceilings_of(EQUAL.with_ceilings([quarter.at_most_us / 1000]), study)
    assert given.at_most_us == pytest.approx(quarter.at_most_us)
    assert given.share == pytest.approx(0.25, abs=0.002)
    assert given.name == f"at-{quarter.at_most_us / 1000:g}-ms"
    assert str(Ceiling(0.0, 60_000.0, given=True)) == "under 1000 random ones, 60 ms"


@pytest.mark.process
def test_every_found_network_has_random_ones_as_fast(study: Study) -> None:
    made: list[Trial] = []
    levels = make_levels(EQUAL, study, 1, on_outcome=lambda trial, _: made.append(trial))
    again = make_levels(EQUAL, study, 1)
    assert again == levels
    assert len(levels) == 2
    for level in levels:
        assert set(level.found) == {"guided", "independent", "evolution"}
        for one in (*level.random, *(one for outcomes in level.found.values() for one in outcomes)):
            assert one.predicted_us <= level.ceiling.at_most_us * (1 + 1e-9)
            assert one.miou is not None
        for outcomes in level.found.values():
            for one in outcomes:
                assert any(equally_fast(one, other) for other in level.random), one.arm
        assert sum(one.arm == "random" for one in level.random) == 1
    assert len(list((study.out / "supernets").iterdir())) == 1, "one supernet serves both ceilings"

    text, table, everything, picture = write_levels(EQUAL, study, levels)
    assert "fastest 25 %" in text.read_text()
    assert "light, stride 8" in text.read_text()
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(made)
    content = json.loads(everything.read_text())
    assert len(content["networks"]) == len(made)
    assert set(content["advantages"]["fastest-5"]) == {"guided", "independent", "evolution"}
    assert picture.stat().st_size > 1000


def test_drawn_networks_are_between_their_limits(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    latencies = study.latencies
    fastest_us = RandomSearch(study.space, latencies).fastest_us
    random = next(arm for arm in EQUAL.arms if arm.drawn)
    untrained = replace(random, trained=False)
    limits = Limits(1.5 * fastest_us, (1 - WITHIN) * 1.5 * fastest_us)
    spent = [make(study, Trial(untrained, seed), limits).predicted_us for seed in range(5)]
    assert all(limits.at_least_us <= one <= limits.at_most_us for one in spent)
    assert len(set(spent)) == 5
    monkeypatch.setattr(network, "DRAWS", 20)
    with pytest.raises(TooFast, match="none of 20 random networks takes from"):
        make(study, Trial(untrained, 9), Limits(1.5 * fastest_us, 1.5 * fastest_us))


def test_an_advantage_is_over_random_networks_of_the_same_latency() -> None:
    generator = np.random.default_rng(1)
    random = [outcome(0.30 + 0.01 * generator.normal()) for _ in range(30)]
    slow = [outcome(0.50, 2000.0) for _ in range(30)]
    found = [outcome(0.34 + 0.01 * generator.normal(), 1020.0, "guided") for _ in range(20)]
    ahead = advantage(found, [*random, *slow])
    assert ahead
    assert ahead.random == 30, "slow ones are no equals"
    expected = 100 * (np.mean([one.miou for one in found]) - np.mean([one.miou for one in random]))
    assert ahead.points == pytest.approx(expected)
    assert ahead.interval
    deviation = np.sqrt(1 / 20 + 1 / 30)
    assert ahead.interval.half_width == pytest.approx(1.96 * deviation, rel=0.25)
    assert ahead.interval.low < expected < ahead.interval.high
    assert advantage(found, slow) is None
    assert advantage([], random) is None
    few = advantage(found[:4], random)
    assert few
    assert few.interval is None


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Ten of each, no difference: the interval excludes 0 in about one case in twenty, and not in many."""
    generator = np.random.default_rng(2)
    wrong = 0
    for _ in range(60):
        found, random = ([outcome(value) for value in 0.3 + 0.02 * generator.normal(size=10)] for _ in range(2))
        ahead = advantage(found, random, resamples=400)
        assert ahead
        assert ahead.interval
        wrong += not ahead.interval.low <= 0 <= ahead.interval.high
    assert wrong <= 9


def test_equal_latency_is_within_three_percent() -> None:
    assert equally_fast(outcome(0, 970.0), outcome(0, 1000.0))
    assert not equally_fast(outcome(0, 969.0), outcome(0, 1000.0))
