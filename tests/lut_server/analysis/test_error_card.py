import math
import random
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import Estimate, TimedNetwork
from latency_tables.kendall import kendall_tau
from lut_server.analysis.error_card import error_card, figures
from lut_server.analysis.ranking import spearman_rho
from tests.support.factories import network, operation

NOW = datetime(2025, 6, 1, tzinfo=timezone.utc)
SPEC = network(operation())
LATENCIES = st.lists(st.floats(1, 1e6), min_size=2, max_size=30)


def _timed(measured_us: Sequence[float], std_rel: float | None = None) -> list[TimedNetwork]:
    return [TimedNetwork(SPEC, latency, std_rel) for latency in measured_us]


def test_figures_of_known_errors() -> None:
    found = figures([104.0, 192.0, 276.0, 480.0], [100.0, 200.0, 300.0, 400.0])
    assert found.mape == pytest.approx((0.04 + 0.04 + 0.08 + 0.2) / 4)
    assert found.max_rel == pytest.approx(0.2)
    assert (found.within_5, found.within_10) == (0.5, 0.75)
    assert found.rmse_us == pytest.approx(math.sqrt((16 + 64 + 576 + 6400) / 4))
    assert (found.tau, found.rho) == (1, 1)


def test_spearman_by_hand() -> None:
    """1 - 6 Σd² / (n (n² - 1)), without ties; Pearson of the mean ranks with them."""
    assert spearman_rho([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(1 - 6 * 4 / 120)
    assert spearman_rho([1, 1, 2], [1, 2, 3]) == pytest.approx(1.5 / math.sqrt(1.5 * 2))
    assert spearman_rho([1, 1, 1], [1, 2, 3]) is None
    assert spearman_rho([1], [1]) is None


@given(LATENCIES, st.randoms())
def test_rank_correlations_see_the_order_only(values: list[float], draw: object) -> None:
    shuffled = list(values)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    for correlation in (kendall_tau, spearman_rho):
        found = correlation(values, shuffled)
        assert found is None or -1 <= found <= 1
        assert correlation([4 * value for value in values], shuffled) == found
        same = correlation(values, values)
        assert same is None or same == pytest.approx(1)


def test_a_line_mends_what_lies_on_a_line_and_needs_four() -> None:
    raw = [100.0, 150.0, 230.0, 400.0, 410.0]
    measured = [1.3 * value + 50 for value in raw]
    held_out = [Estimate(value, 0.9 * value, 0.99 * value) for value in measured]
    card = error_card(raw, held_out, _timed(measured), NOW)
    assert card.affine is not None
    assert card.affine.mape < 1e-9 < card.raw.mape
    assert (card.coverage90, card.calibrated.mape) == (0, 0)
    assert error_card(raw[:3], held_out[:3], _timed(measured[:3]), NOW).affine is None


def test_errors_of_several_sizes_are_told_apart() -> None:
    large, small = (3, 769, 1537), (3, 97, 193)
    shapes, latencies = [large, small, large, small], [1000.0, 10.0, 2000.0, 20.0]
    measured = [
        TimedNetwork(SPEC.model_copy(update={"input_shape": shape}), latency)
        for shape, latency in zip(shapes, latencies, strict=True)
    ]
    held_out = [Estimate(value, 0.9 * value, 1.1 * value) for value in (1010.0, 15.0, 2020.0, 30.0)]
    card = error_card(latencies, held_out, measured, NOW)
    assert [(of.input_shape, of.networks, of.raw_mape) for of in card.sizes] == [(small, 2, 0), (large, 2, 0)]
    assert [of.calibrated_mape for of in card.sizes] == pytest.approx([0.5, 0.01])
    assert error_card(latencies, held_out, _timed(latencies), NOW).sizes == ()


def test_a_line_never_sees_the_network_that_it_predicts() -> None:
    raw = [100.0, 200.0, 300.0, 400.0, 500.0]
    measured = [100.0, 200.0, 300.0, 400.0, 1000.0]
    held_out = [Estimate(value, value, value) for value in measured]
    card = error_card(raw, held_out, _timed(measured), NOW)
    assert card.affine is not None
    assert card.affine.max_rel >= 0.5, "the line of the first four says 500 of the last"
    assert card.coverage90 == 1


def test_networks_of_one_size_are_predicted_by_their_mean() -> None:
    card = error_card([5.0] * 4, [Estimate(1.0, 0.5, 2.0)] * 4, _timed([1.0, 2.0, 3.0, 6.0]), NOW)
    assert card.affine is not None
    assert card.affine.max_rel == pytest.approx((11 / 3 - 1) / 1)
    assert card.affine.tau is not None
    assert card.raw.tau is None


def test_more_error_is_more_error() -> None:
    measured = [100.0, 210.0, 290.0]
    found = [figures([value * (1 + error) for value in measured], measured) for error in (0, 0.02, 0.07, 0.2)]
    for better, worse in pairwise(found):
        assert better.mape < worse.mape
        assert better.rmse_us < worse.rmse_us
        assert better.within_5 >= worse.within_5


def test_the_card_says_how_much_of_the_error_is_measuring() -> None:
    """Networks predicted without error are off by what their measurements are off by, in the mean."""
    draw = random.Random(3)
    truth = [draw.uniform(100, 1000) for _ in range(4000)]
    measured = [value * (1 + draw.gauss(0, 0.01)) for value in truth]
    held_out = [Estimate(value, value, value) for value in truth]
    card = error_card(truth, held_out, _timed(measured, 0.01), NOW)
    assert card.measuring == pytest.approx(card.calibrated.mape, rel=0.05)
    less, more = (card.model_copy(update={"measuring": share}) for share in (0.001, 0.02))
    assert less.error == f"mean error {card.calibrated.mape:.1%}, of which measuring 0.1%"
    assert more.error == f"mean error {card.calibrated.mape:.1%}, no more than measuring's own 2.0%"
    half = [*_timed(measured[:3], 0.01), *_timed(measured[3:6])]
    card = error_card(truth[:6], held_out[:6], half, NOW)
    assert card.measuring is None, "not known of each"
    assert "measuring" not in card.error
