"""What operations cost inside networks: against dense textbook formulas, and against devices whose truth is known."""

from collections.abc import Sequence
from itertools import product
from statistics import mean

import numpy as np
import pytest

from latency_tables.calibration import Calibrated, TimedNetwork, choose_next
from latency_tables.calibration.directions import Setting, gram, kernel
from latency_tables.calibration.mixture import Mixture
from latency_tables.calibration.posterior import EXPECTED, Posterior, grid
from latency_tables.calibration.rows import Rows
from latency_tables.contract import NetworkSpec
from tests.support.synthetic import BASIS, Drawn, World, draw_device, networks, with_row_errors

QUIET = World(name=0.2, stage=0.03, row=0.01, noise=0.003, spread=1, row_error=0, network_error=0)
SPECS = networks(60)


def _rows(drawn: Drawn, others: Sequence[Sequence[float]] = ()) -> Rows:
    return Rows(drawn.table, BASIS, 1000.0, np.array(others).reshape(len(others), len(drawn.table.rows)))


def _dense(drawn: Drawn, setting: Setting, specs: Sequence[NetworkSpec], other: Sequence[float]) -> np.ndarray:
    """The prior covariance of relative latencies, parameter by parameter."""
    table = drawn.table
    us = [row.normalized_us or 0.0 for row in table.rows]
    keys = [row.operation.digest for row in table.rows]
    kinds = [row.operation.name for row in table.rows]
    places = [(row.operation.name, row.operation.input_shapes[0][1]) for row in table.rows]
    shares, constants = [], []
    for spec in specs:
        counts = {item.operation.digest: item.count for item in spec.operations}
        parts = [counts.get(key, 0) * latency for key, latency in zip(keys, us, strict=True)]
        shares.append([part / sum(parts) for part in parts])
        constants.append(1000.0 / sum(parts))
    dense = np.zeros((len(specs), len(specs)))
    for i, j in product(range(len(specs)), repeat=2):
        total = setting.constant**2 * constants[i] * constants[j] + setting.scale**2
        for a, b in product(range(len(us)), repeat=2):
            both = shares[i][a] * shares[j][b]
            total += both * setting.name**2 * (kinds[a] == kinds[b])
            total += both * setting.stage**2 * (places[a] == places[b])
            total += both * (setting.row**2 + (setting.error * 0.01) ** 2) * (a == b)
            total += both * setting.device**2 * other[a] * other[b]
        dense[i, j] = total
    return dense


def test_the_prior_is_the_sum_over_its_parameters() -> None:
    drawn = draw_device(World(row_error=0.01), SPECS[:3], seed=1)
    other = list(np.random.default_rng(0).normal(0, 0.1, len(drawn.table.rows)))
    setting = Setting(scale=0.3, constant=0.02, device=0.7, name=0.2, stage=0.1, row=0.05, error=1.0, noise=0.01)
    seen = _rows(drawn, [other]).of(SPECS[:3])
    np.testing.assert_allclose(kernel(setting, gram(seen, seen)), _dense(drawn, setting, SPECS[:3], other), rtol=1e-6)


def test_a_posterior_is_the_mixture_of_dense_ones() -> None:
    """Mean, variance and evidence of a Gaussian process for each setting, written out."""
    drawn = draw_device(World(), SPECS[:12], seed=3)
    seen, asked = _rows(drawn).of(SPECS[:8]), _rows(drawn).of(SPECS[8:12])
    excess = np.array([timed.measured_us for timed in drawn.measured[:8]]) / seen.mean - 1
    measuring = np.linspace(0.001, 0.02, 8) ** 2
    posterior = Posterior((), seen, excess, measuring).of(asked, measuring=0.003**2)
    weights, means, squares = [], [], []
    for setting, prior in zip(*grid(()), strict=True):
        covariance = kernel(setting, gram(seen, seen)) + np.diag(measuring + setting.noise**2)
        across = kernel(setting, gram(asked, seen))
        found = across @ np.linalg.solve(covariance, excess)
        own = np.diag(kernel(setting, gram(asked, asked)) - across @ np.linalg.solve(covariance, across.T))
        evidence = -0.5 * excess @ np.linalg.solve(covariance, excess) - 0.5 * np.linalg.slogdet(covariance)[1]
        weights.append(np.exp(evidence + prior))
        means.append(found)
        squares.append(own + setting.noise**2 + 0.003**2 + found**2)
    shares = np.array(weights) / sum(weights)
    expected = shares @ np.array(means)
    np.testing.assert_allclose(posterior.mean, expected, atol=2e-4)
    np.testing.assert_allclose(posterior.std, np.sqrt(shares @ np.array(squares) - expected**2), rtol=0.03)


def test_the_ends_of_a_mixture_are_its_quantiles() -> None:
    draw = np.random.default_rng(0)
    means, stds, weights = np.array([0.0, 0.5, -3.0]), np.array([1.0, 0.2, 4.0]), np.array([0.5, 0.3, 0.2])
    drawn = draw.choice(3, 400_000, p=weights)
    values = means[drawn] + stds[drawn] * draw.normal(size=len(drawn))
    mixture = Mixture(means[:, None], stds[:, None] ** 2, weights[:, None])
    predicted = mixture.predicted()
    assert mixture.mean_error == pytest.approx(np.abs(values - values.mean()).mean(), rel=0.01)
    assert predicted.mean == pytest.approx(values.mean(), abs=0.02)
    assert predicted.std == pytest.approx(values.std(), abs=0.02)
    assert (values < predicted.low).mean() == pytest.approx(0.05, abs=0.002)
    assert (values > predicted.high).mean() == pytest.approx(0.05, abs=0.002)


def test_measuring_errors_are_in_the_intervals_and_weigh_the_networks() -> None:
    drawn = draw_device(QUIET, SPECS, seed=5)
    exact = [timed._replace(std_rel=0.0) for timed in drawn.measured[:10]]
    unknown = [timed._replace(std_rel=None) for timed in exact]
    vague = [timed._replace(std_rel=0.05) for timed in exact]
    asked = SPECS[30:]
    certain = Calibrated(drawn.table, exact, BASIS).predict_all(asked)
    assert certain == Calibrated(drawn.table, unknown, BASIS).predict_all(asked)
    uncertain = Calibrated(drawn.table, vague, BASIS).predict_all(asked)
    widths = [[one.high_us - one.low_us for one in estimates] for estimates in (certain, uncertain)]
    assert mean(widths[1]) > 1.3 * mean(widths[0])

    off = exact[4]._replace(measured_us=1.15 * exact[4].measured_us)
    rest = [*exact[:4], *exact[5:]]
    without, trusted, doubted = (
        np.array([one.latency_us for one in Calibrated(drawn.table, observed, BASIS, (), ()).predict_all(asked)])
        for observed in (rest, [*rest, off], [*rest, off._replace(std_rel=0.15)])
    )
    assert np.abs(doubted / without - 1).mean() < 0.4 * np.abs(trusted / without - 1).mean()


def test_rows_that_are_badly_measured_make_predictions_uncertain() -> None:
    drawn = draw_device(QUIET, SPECS, seed=2)
    tables = [drawn.table, with_row_errors(drawn.table, 0.15)]
    sure, unsure = (Calibrated(table, drawn.measured[:6], BASIS, (), ()) for table in tables)
    widths = [
        mean((one.high_us - one.low_us) / one.latency_us for one in fitted.predict_all(SPECS[30:]))
        for fitted in (sure, unsure)
    ]
    assert widths[1] > 1.1 * widths[0]
    row = drawn.table.rows[3].operation
    assert unsure.coefficient(row).std > 1.1 * sure.coefficient(row).std


def test_an_outlier_changes_little_under_heavy_tails() -> None:
    drawn = draw_device(QUIET, SPECS, seed=7)
    observed = drawn.measured[:16]
    slow = [*observed[:3], observed[3]._replace(measured_us=1.3 * observed[3].measured_us), *observed[4:]]
    before, after = (Calibrated(drawn.table, timed, BASIS) for timed in (observed, slow))
    assert "student_t" in after.parts
    gaussian = Calibrated(drawn.table, slow, BASIS, (), ())
    first, second, third = (
        np.array([one.latency_us for one in fitted.predict_all(SPECS[30:])]) for fitted in (before, after, gaussian)
    )
    assert np.abs(second / first - 1).max() < 0.5 * np.abs(third / first - 1).max()


def test_other_devices_help_where_they_are_alike_and_are_left_out_where_not() -> None:
    alike = World(name=0.03, stage=0.03, row=0.01, noise=0.003, common=0.25)
    own, *rest = (draw_device(alike, SPECS, seed) for seed in (1, 2, 3))
    helped = Calibrated(own.table, own.measured[:8], BASIS, [other.inside for other in rest])
    assert "devices" in helped.parts
    alone = Calibrated(own.table, own.measured[:8], BASIS)
    held_out = own.measured[16:]
    errors = [
        mean(
            abs(one.latency_us / timed.measured_us - 1)
            for one, timed in zip(fitted.predict_all([timed.network for timed in held_out]), held_out, strict=True)
        )
        for fitted in (helped, alone)
    ]
    assert errors[0] < 0.7 * errors[1]

    strangers = [draw_device(World(name=0.4, row=0.3), SPECS, seed).inside for seed in (20, 21)]
    assert "devices" not in Calibrated(own.table, own.measured[:8], BASIS, strangers).parts
    incomplete = [{key: value for key, value in rest[0].inside.items() if key != own.table.rows[0].operation.digest}]
    assert Calibrated(own.table, own.measured[:8], BASIS, incomplete).parts == alone.parts


def test_the_next_network_leaves_the_least_variance_of_all_others() -> None:
    """By brute force: the trace of the covariance after each candidate's measurement."""
    drawn = draw_device(World(row_error=0), SPECS, seed=4)
    candidates = SPECS[20:35]
    chosen = choose_next(drawn.table, candidates, 3, BASIS, None)
    unit_us = mean(_rows(drawn).of(candidates).mean)
    seen = Rows(drawn.table, BASIS, unit_us, np.zeros((0, len(drawn.table.rows)))).of(candidates)
    prior = kernel(EXPECTED, gram(seen, seen))
    taken: list[int] = []
    for _ in range(3):
        left = {}
        for index in set(range(len(candidates))) - set(taken):
            given = [*taken, index]
            noisy = prior[np.ix_(given, given)] + EXPECTED.noise**2 * np.eye(len(given))
            left[index] = float(np.trace(prior - prior[:, given] @ np.linalg.solve(noisy, prior[given])))
        taken.append(min(left, key=left.__getitem__))
    assert [candidates.index(network) for network in chosen] == taken

    fitted = Calibrated(drawn.table, drawn.measured[:5], BASIS)
    (following,) = choose_next(drawn.table, candidates, 1, BASIS, fitted)
    covariance, noise = fitted.uncertainty(candidates)
    told = (covariance**2).sum(axis=0) / (np.diag(covariance) + noise)
    assert candidates.index(following) == int(np.argmax(told))
    with pytest.raises(ValueError, match="count: 16 of 15 candidates"):
        choose_next(drawn.table, candidates, 16, BASIS, fitted)


def test_uncertainty_is_that_of_predictions() -> None:
    drawn = draw_device(World(), SPECS, seed=6)
    fitted = Calibrated(drawn.table, drawn.measured[:8], BASIS)
    covariance, noise = fitted.uncertainty(SPECS[20:30])
    predicted = fitted._posterior.of(fitted._rows.of(SPECS[20:30]), fitted._typical)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance) + noise), predicted.std, rtol=1e-6)


@pytest.mark.parametrize("count", [4, 8, 16])
def test_intervals_cover_what_they_say(count: int) -> None:
    """Simulation-based: devices drawn, some networks measured, the others predicted and left out."""
    inside: list[bool] = []
    left_out: list[bool] = []
    expected, seen = [], []
    for seed in range(30):
        drawn = draw_device(World(tails=4 if seed % 2 else None), SPECS, seed=100 + seed)
        fitted = Calibrated(drawn.table, drawn.measured[:count], BASIS)
        inside += _covered(fitted.predict_all(SPECS[16:]), drawn.measured[16:])
        left_out += _covered(fitted.leave_one_out(), drawn.measured[:count])
        expected.append(fitted.expected_error(SPECS[16:]))
        predictions = zip(fitted.predict_all(SPECS[16:]), drawn.measured[16:], strict=True)
        seen.append(mean(abs(one.latency_us / timed.measured_us - 1) for one, timed in predictions))
    assert 0.85 < mean(inside) < 0.96
    assert mean(left_out) > 0.85
    assert 0.75 < mean(expected) / mean(seen) < 1.4


def _covered(estimates: Sequence, measured: Sequence[TimedNetwork]) -> list[bool]:  # type: ignore[type-arg]
    return [one.low_us <= timed.measured_us <= one.high_us for one, timed in zip(estimates, measured, strict=True)]
