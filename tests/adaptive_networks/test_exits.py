"""Thresholds, rates and the sweep, on numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adaptive_networks.core.exits import (
    POLICIES,
    CeilingTooLow,
    Floats,
    all_to,
    mean_us,
    operate,
    rates,
    shares,
    std_us,
    sweep,
    swept,
    taken,
    thresholds,
)

HAND = np.array([[0.9, 0.8, 0.8, 0.7, 0.6, 0.5], [0.1, 0.2, 0.9, 0.8, 0.7, 0.6], [0.5] * 6])
CONFIDENCES = arrays(np.float64, st.tuples(st.just(3), st.integers(1, 40)), elements=st.floats(0, 1))


def test_thresholds_by_hand() -> None:
    """Two of six leave at exit 1 by its second; the third is as confident and leaves with it. One leaves at exit 2."""
    found = thresholds(HAND, np.array([1 / 3, 1 / 6, 1 / 2]))
    assert found.tolist() == [0.8, 0.8, -np.inf]
    assert taken(HAND, found).tolist() == [0, 0, 0, 1, 2, 2]
    nobody = thresholds(HAND, np.array([1.0, 0.5, 0.0]))
    assert nobody.tolist() == [0.5, np.inf, -np.inf], "too few are left for exit 2"
    assert thresholds(HAND, np.array([0.1, 0.1, 0.8])).tolist() == [np.inf, np.inf, -np.inf], "less than one image"


@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_wanted_rates_are_met_within_an_image(images: int, seed: int) -> None:
    """Where no two confidences are equal."""
    confidence = np.random.default_rng(seed).random((4, images))
    for policy in (1, 10, 20, 30, 39):
        wanted = shares(policy, 4)
        got = rates(taken(confidence, thresholds(confidence, wanted)), 4)
        assert (abs(got - wanted)[:-1] <= 1 / images + 1e-9).all()
        assert got.sum() == pytest.approx(1)


@given(CONFIDENCES, st.integers(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_lets_nobody_leave_earlier(confidence: Floats, exit: int, one: float, other: float) -> None:
    limits = np.array([0.5, 0.5, -np.inf])
    low, high = limits.copy(), limits.copy()
    low[exit], high[exit] = sorted((one, other))
    assert (taken(confidence, low) <= taken(confidence, high)).all()


@given(CONFIDENCES)
def test_no_threshold_and_unreachable_ones(confidence: Floats) -> None:
    assert (taken(confidence, all_to(0, 3)) == 0).all()
    assert (taken(confidence, [np.inf] * 3) == 2).all()
    assert rates(taken(confidence, all_to(1, 3)), 3).tolist() == [0, 1, 0]


def test_policies_go_from_the_first_exit_to_the_last() -> None:
    assert shares(1, 3)[0] > 0.94
    assert shares(20, 4).tolist() == [0.25] * 4
    firsts = [shares(policy, 3)[0] for policy in range(1, POLICIES + 1)]
    assert firsts == sorted(firsts, reverse=True)
    with pytest.raises(ValueError, match="policy: 40"):
        shares(40, 3)


def test_the_sweep_stays_under_its_ceiling_and_is_monotone_in_it() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.random((3, 500))
    correct = generator.random((3, 500)) < np.array([[0.5], [0.7], [0.9]]) * (0.5 + 0.5 * confidence)
    points = [*swept(confidence, correct), *(operate(confidence, correct, all_to(exit, 3)) for exit in range(3))]
    latency_us = [100.0, 180.0, 320.0]
    before = 0.0
    for ceiling_us in (100.0, 150.0, 200.0, 250.0, 320.0):
        point = sweep(points, latency_us, ceiling_us)
        assert mean_us(point.rates, latency_us) <= ceiling_us
        assert point.accuracy >= before
        before = point.accuracy
    assert std_us(points[-1].rates, latency_us, 500) == 0, "one path for all has no variance"
    exit_of = taken(confidence, points[10].thresholds)
    each_us = np.array(latency_us)[exit_of]
    assert mean_us(points[10].rates, latency_us) == pytest.approx(each_us.mean())
    assert std_us(points[10].rates, latency_us, 500) == pytest.approx(each_us.std() / 500**0.5)
    with pytest.raises(CeilingTooLow, match=r"the least expected latency is 0\.1 ms"):
        sweep(points, latency_us, 99.0)
    with pytest.raises(ValueError, match="latency_us: 2 given"):
        sweep(points, latency_us[:2], 99.0)


def test_the_same_rates_on_two_devices_give_different_choices() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.random((2, 400))
    correct = np.stack((generator.random(400) < confidence[0], np.ones(400, dtype=bool)))
    points = swept(confidence, correct)
    flat, steep = (sweep(points, latency_us, 150.0) for latency_us in ([100.0, 160.0], [100.0, 400.0]))
    assert flat.accuracy > steep.accuracy
    assert flat.thresholds != steep.thresholds


@pytest.mark.parametrize(
    ("confidence", "limits", "words"),
    [
        (HAND, [0.5, 0.5], "there are 3 exits"),
        (HAND, [0.5, float("nan"), 0.5], "there are 3 exits"),
        (HAND[0], [0.5], "exits × images"),
        (HAND[:, :0], [0.5] * 3, "exits × images"),
        (np.full((3, 4), np.nan), [0.5] * 3, "not finite"),
    ],
)
def test_what_is_no_confidence_or_threshold_is_refused(confidence: Floats, limits: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        taken(confidence, limits)


@pytest.mark.parametrize("wanted", [[0.5, 0.5], [0.5, -0.1, 0.6], [0.5, float("nan"), 0.5]])
def test_what_is_no_share_is_refused(wanted: list[float]) -> None:
    with pytest.raises(ValueError, match="wanted: "):
        thresholds(HAND, np.array(wanted))
