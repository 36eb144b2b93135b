"""A new device from few networks, on small synthetic devices, against dense textbook formulas."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from latency_tables.calibration import TimedNetwork, student
from latency_tables.calibration.directions import Grid, Setting, gram, kernel, kernels
from latency_tables.calibration.estimates import Floats
from latency_tables.contract import NetworkSpec, Work
from latency_tables.transfer.design import choose
from latency_tables.transfer.features import Features, UnknownOperations
from latency_tables.transfer.learned import CalibratedSource, Learned, NoSources, PublishedSource, Source
from latency_tables.transfer.new_device import Components, NewDevice
from latency_tables.transfer.prior import ALL, BLOCKS, DESIGN
from latency_tables.transfer.sources import TimedCounts, inferred
from tests.support.factories import network, operation

KINDS = ("conv", "pool", "sep_conv", "upsample")
SIZES = (8, 16, 32)
OPERATIONS = [operation(size, kind) for kind in KINDS for size in SIZES]
STEM = operation(3, "stem")
WORKS = {
    spec.digest: Work(
        macs=1000 * (1 + KINDS.index(spec.name)) * spec.input_shapes[0][0] ** 2 if spec.name in KINDS else 5000,
        elements=1000 * spec.input_shapes[0][0],
        weights=100 * spec.input_shapes[0][0],
        launches=3,
    )
    for spec in (*OPERATIONS, STEM)
}


def _networks(count: int, seed: int) -> list[NetworkSpec]:
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        drawn = draw.sample(OPERATIONS, draw.randint(3, 8))
        made.append(network(STEM, *drawn, counts=[1, *(draw.randint(1, 4) for _ in drawn)]))
    return made


def _costs(seed: int, noise: float = 0.3) -> dict[str, float]:
    """A device: some time for multiply-adds, some for elements, and something of its own for each kind and row."""
    draw = np.random.default_rng(seed)
    mac, element = draw.lognormal(0, 1, 2)
    kind = {name: draw.lognormal(0, noise) for name in (*KINDS, "stem")}
    return {
        spec.digest: float(
            (mac * work.macs / 1e6 + element * work.elements / 1e5) * kind[spec.name] * draw.lognormal(0, noise / 3)
        )
        for spec in (*OPERATIONS, STEM)
        for work in [WORKS[spec.digest]]
    }


def _us(spec: NetworkSpec, costs: dict[str, float], constant: float = 0.1) -> float:
    return constant + sum(item.count * costs[item.operation.digest] for item in spec.operations)


def _timed(networks: Sequence[NetworkSpec], costs: dict[str, float]) -> list[TimedNetwork]:
    return [TimedNetwork(spec, _us(spec, costs)) for spec in networks]


def _sources(count: int = 4) -> list[Source]:
    networks = _networks(12, seed=1)
    return [
        CalibratedSource(f"device {seed}", [*OPERATIONS, STEM], _costs(seed), 0.1, networks) for seed in range(count)
    ]


@pytest.fixture(scope="module")
def learned() -> Learned:
    return Learned(_sources(), (), WORKS)


def test_student_t_equals_variational_regression_in_the_space_of_coefficients() -> None:
    """Tipping and Lawrence (2005): Gaussian weights, noise precision λ/σ² with λ ~ Gamma(ν/2, ν/2)."""
    draw = np.random.default_rng(3)
    rows, prior = draw.normal(size=(9, 4)), np.diag([1.0, 0.5, 2.0, 0.1])
    excess = rows @ draw.normal(size=4) + 0.1 * draw.normal(size=9)
    excess[4] += 3
    noise, precision = 0.1, np.ones(9)
    for turn in range(student.ROUNDS):
        covariance = np.linalg.inv(rows.T @ np.diag(precision / noise**2) @ rows + np.linalg.inv(prior))
        mean = covariance @ rows.T @ (precision / noise**2 * excess)
        if turn < student.ROUNDS - 1:
            squares = (excess - rows @ mean) ** 2 + np.einsum("ij,jk,ik->i", rows, covariance, rows)
            precision = (student.NU + 1) / (student.NU + squares / noise**2)
    fits = student.fit((rows @ prior @ rows.T)[None], np.array([noise]), excess)
    np.testing.assert_allclose(prior @ rows.T @ fits.weights[0], mean, rtol=1e-6)
    assert precision[4] < 0.05, "the outlier weighs little"


def test_the_bound_on_the_evidence_is_below_the_evidence() -> None:
    """One network: the marginal likelihood is an integral over its latency alone."""
    scale, noise, excess = 0.2, 0.1, 0.35
    grid = np.linspace(-12, 12, 400_001)
    t = (1 + (excess - grid) ** 2 / (student.NU * noise**2)) ** (-(student.NU + 1) / 2)
    density = t * 2 / (np.pi * np.sqrt(student.NU) * noise)  # Γ(2) / (Γ(3/2) √π) = 2/π
    gaussian = np.exp(-0.5 * (grid / scale) ** 2) / (scale * np.sqrt(2 * np.pi))
    evidence = np.log(float((density * gaussian).sum() * (grid[1] - grid[0]))) + 0.5 * np.log(2 * np.pi)
    bound = student.fit(np.array([[[scale**2]]]), np.array([noise]), np.array([excess])).evidence[0]
    assert evidence - 0.3 < bound < evidence


def test_one_setting_predicts_as_the_dense_formulas_say(learned: Learned) -> None:
    """The Gaussian process of design/newdevice.md, section 4, written out in coefficients."""
    grid = Grid.of({}, device=(1.0,), physics=(0.2,), name=(0.1,), noise=(0.05,))
    setting, features = grid.settings[0], learned.features
    components = Components(features, np.array([features.costs(_costs(seed), 0.1) for seed in range(4)]))
    components.priors = [(components.main, grid, "sources")]
    observed = _timed(_networks(6, seed=8), _costs(9))
    counts = learned.counts([timed.network for timed in observed])
    us = np.array([timed.measured_us for timed in observed])
    fitted = NewDevice(components, counts, us)

    prior = components.main
    covariance = sum(
        getattr(setting, block) ** 2 * prior.directions[block] @ prior.directions[block].T for block in BLOCKS
    )
    assert isinstance(covariance, np.ndarray)
    base = counts @ prior.mean
    scale = float(np.exp(np.median(np.log(us / base))))
    excess = us / (scale * base) - 1
    rows = counts / base[:, None]
    gramian = rows @ covariance @ rows.T
    inverse = student.fit(gramian[None], np.array([setting.noise]), excess).inverse[0]
    asked = learned.counts(_networks(5, seed=21))
    around = asked @ prior.mean
    across = (asked / around[:, None]) @ covariance @ rows.T
    own = np.einsum("ij,jk,ik->i", asked, covariance, asked) / around**2
    mean = scale * around * (1 + across @ inverse @ excess)
    std = scale * around * np.sqrt(own - np.einsum("ij,jk,ik->i", across, inverse, across) + setting.noise**2)
    moments = fitted.moments(asked)
    np.testing.assert_allclose(moments.mean_us, mean, rtol=1e-8)
    np.testing.assert_allclose(moments.std_us, std, rtol=1e-6)
    np.testing.assert_allclose(asked @ fitted.columns().mean_us, mean, rtol=1e-8)


def test_kernels_are_those_of_each_setting(learned: Learned) -> None:
    networks = learned.components.main.of(learned.counts(_networks(5, seed=4)))
    grams = gram(networks, networks)
    stacked = kernels(ALL, grams)
    for index in (0, 7, len(ALL.settings) - 1):
        np.testing.assert_allclose(stacked[index], kernel(ALL.settings[index], grams))


def test_ten_networks_predict_a_device_that_none_is_like(learned: Learned) -> None:
    costs = _costs(77)
    fitted = learned.new_device(_timed(_networks(10, seed=5), costs))
    unseen = _timed(_networks(40, seed=6), costs)
    predicted = fitted.predict(learned.counts([timed.network for timed in unseen]))
    off = [abs(one.latency_us / timed.measured_us - 1) for one, timed in zip(predicted, unseen, strict=True)]
    assert np.mean(off) < 0.1
    inside = [one.low_us <= timed.measured_us <= one.high_us for one, timed in zip(predicted, unseen, strict=True)]
    assert sum(inside) >= 32


def test_a_device_like_a_source_is_said_to_be_like_it(learned: Learned) -> None:
    faster = {digest: cost / 3 for digest, cost in _costs(2).items()}
    observed = [TimedNetwork(spec, _us(spec, faster, 0.1 / 3)) for spec in _networks(8, seed=5)]
    likeness = learned.new_device(observed).likeness
    assert likeness[0].alike == 2
    assert likeness[0].share > 0.5
    assert sum(one.share for one in likeness) == pytest.approx(1)


def test_no_share_of_the_evidence_rounds_above_one() -> None:
    alone = Learned(_sources(1), (), WORKS)
    for seed in range(20):
        fitted = alone.new_device(_timed(_networks(8, seed), _costs(0)))
        assert all(0 <= one.share <= 1 for one in fitted.likeness)


def test_a_throttled_network_hardly_changes_the_others(learned: Learned) -> None:
    observed = _timed(_networks(10, seed=5), _costs(1))
    asked = learned.counts(_networks(10, seed=6))
    before = learned.new_device(observed).moments(asked).mean_us
    slow = [*observed[:3], observed[3]._replace(measured_us=1.8 * observed[3].measured_us), *observed[4:]]
    after = learned.new_device(slow).moments(asked).mean_us
    assert np.abs(after / before - 1).max() < 0.1


def test_leaving_one_out_has_not_seen_it(learned: Learned) -> None:
    observed = _timed(_networks(5, seed=5), _costs(1))
    changed = [observed[0]._replace(measured_us=7 * observed[0].measured_us), *observed[1:]]
    first, second = (learned.new_device(given).leave_one_out() for given in (observed, changed))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_the_next_network_leaves_the_least_variance_of_all_others(learned: Learned) -> None:
    """Greedy by brute force: the trace of the posterior covariance after each candidate's measurement."""
    candidates = learned.counts(_networks(15, seed=12))
    measured = learned.counts(_networks(2, seed=13))
    prior = learned.components.main
    taken: list[int] = []
    for _ in range(3):
        left = {}
        for candidate in range(15):
            given = np.vstack([measured, candidates[[*taken, candidate]]])
            networks, observed = prior.of(candidates), prior.of(given)
            across = kernel(DESIGN, gram(networks, observed))
            noisy = kernel(DESIGN, gram(observed, observed)) + DESIGN.noise**2 * np.eye(len(given))
            own = kernel(DESIGN, gram(networks, networks))
            left[candidate] = float(np.trace(own - across @ np.linalg.solve(noisy, across.T)))
        taken.append(min((one for one in left if one not in taken), key=lambda one: left[one]))
    assert choose(prior, candidates, 3, measured) == taken
    with pytest.raises(ValueError, match="count: 16 of 15 candidates"):
        choose(prior, candidates, 16)


def test_costs_are_inferred_from_networks_alone() -> None:
    """Of devices of which only networks were published: the latencies of others follow, to the noise."""
    networks = _networks(80, seed=2)
    features = Features([*OPERATIONS, STEM], WORKS, networks)
    counts = features.counts(networks)
    truth = np.array([features.costs(_costs(seed), 0.1) for seed in range(4)])
    draw = np.random.default_rng(1)
    devices = [TimedCounts(counts, counts @ costs * draw.lognormal(0, 0.01, 80)) for costs in truth]
    devices[0].latencies[7] *= 2  # a burst of throttling
    guessed = inferred(features, devices)
    unseen = features.counts(_networks(50, seed=3))
    ratio = (unseen @ guessed.T) / (unseen @ features.relative(truth).T)
    assert np.abs(ratio - 1).mean() < 0.02


def test_published_and_calibrated_sources_together() -> None:
    networks = _networks(50, seed=2)
    published: list[Source] = [PublishedSource(f"published {seed}", _timed(networks, _costs(seed))) for seed in (2, 3)]
    both = Learned([*_sources(2), *published], _networks(3, seed=9), WORKS)
    assert [source.name for source in both.sources] == ["device 0", "device 1", "published 2", "published 3"]
    order = both.rank(_networks(20, seed=4))
    alone = Learned(_sources(4), (), WORKS).rank(_networks(20, seed=4))
    assert np.corrcoef(order, alone)[0, 1] > 0.99


def test_sources_that_lack_an_operation_are_left_out() -> None:
    sources = _sources(3)
    assert isinstance(sources[1], CalibratedSource)
    rows = {digest: us for digest, us in sources[1].rows_us.items() if digest != OPERATIONS[0].digest}
    sources[1] = CalibratedSource("lacks", sources[1].operations, rows, 0.1, sources[1].networks[:0])
    needed = [network(STEM, OPERATIONS[0])]
    assert [source.name for source in Learned(sources, needed, WORKS).sources] == ["device 0", "device 2"]
    unknown = network(operation(5, "deconv"))
    with pytest.raises(NoSources, match="none of 3 sources has all 1 operations"):
        Learned(sources, [unknown], WORKS)
    with pytest.raises(UnknownOperations, match="no source of this space knows 1 of the network's operations"):
        Learned(_sources(2), (), WORKS).counts([unknown])


def test_without_counted_work_input_shapes_stand_for_it() -> None:
    assert Learned(_sources(2), (), WORKS).features.counted
    without = Learned(_sources(2), (), {})
    assert not without.features.counted
    costs = _costs(77)
    fitted = without.new_device(_timed(_networks(10, seed=5), costs))
    assert fitted.predict(without.counts(_networks(1, seed=6)))[0].latency_us > 0


def test_what_all_networks_execute_alike_is_not_told_from_the_constant(learned: Learned) -> None:
    column = learned.features.column(STEM.digest)
    assert all(not groups[column].any() for groups in learned.features.groups.values())
    assert all(groups.sum(axis=0).min() > 0 for groups in learned.features.groups.values())


def test_unused_operations_make_virtual_devices_of_their_own() -> None:
    works = {**WORKS, OPERATIONS[0].digest: WORKS[OPERATIONS[0].digest].model_copy(update={"unused": True})}
    networks = _networks(10, seed=1)
    plain, with_unused = (Features([*OPERATIONS, STEM], given, networks).physical for given in (WORKS, works))
    assert len(with_unused) == 2 * len(plain)
    assert (with_unused[::2, 1] == 0).all()
    seen: Floats = Features([*OPERATIONS, STEM], works, networks).seen
    np.testing.assert_allclose((seen @ with_unused.T).mean(axis=0), 1)


def test_too_few_networks_are_refused(learned: Learned) -> None:
    with pytest.raises(ValueError, match="2 networks; a new device takes at least 3"):
        learned.new_device(_timed(_networks(2, seed=5), _costs(1)))


def test_the_prior_of_a_setting_is_log_normal() -> None:
    assert Setting(device=1.0).log_prior({"device": 1.0}) == 0
    assert Setting(device=3.0).log_prior({"device": 1.0}) == pytest.approx(-0.5)
