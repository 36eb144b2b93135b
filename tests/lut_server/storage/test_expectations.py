"""What an input costs in the mean, where it decides which network is executed: on a device whose truth is known."""

from collections import Counter
from itertools import accumulate

import pytest

from latency_tables.client import LutClient, NotFound, Rejected
from latency_tables.contract import Expectation, LatencyTable, NetworkSpec, OperationSpec, Prediction, share_in_time
from tests.support import truth
from tests.support.factories import CPU, SPACE_DIGEST, network, operation, report
from tests.support.lut import Lut

RATES = (0.5, 0.3, 0.2)
Paths = list[tuple[str, NetworkSpec, float]]


def nested(seed: int = 7, stages: int = 3) -> Paths:
    """Exits: each path holds the one before."""
    parts = [Counter(dict.fromkeys(_operations(drawn), 1)) for drawn in truth.draw_networks(stages, seed)]
    paths = accumulate(parts, lambda before, more: before + more)
    specs = [
        NetworkSpec.of("small", SPACE_DIGEST, ["exit", seed, number], (3, 32, 32), dict(path))
        for number, path in enumerate(paths)
    ]
    return [(f"exit {number}", spec, rate) for number, (spec, rate) in enumerate(zip(specs, RATES, strict=True))]


def _operations(spec: NetworkSpec) -> list[OperationSpec]:
    return [item.operation for item in spec.operations]


@pytest.fixture
def client(lut: Lut) -> LutClient:
    """Of a server with one device, its table calibrated by networks that are none of the paths."""
    truth.build_table(lut, report())
    truth.measure(lut, report(), truth.draw_networks(12, seed=2))
    return lut.client


def expect(client: LutClient, paths: Paths) -> Expectation:
    (expectation,) = client.expect(paths, "cpu-1", CPU)
    return expectation


def figures(of: Expectation | Prediction) -> tuple[float, ...]:
    return tuple(value for value in (of.raw_us, of.predicted_us, of.low_us, of.high_us) if value is not None)


def test_the_mean_is_linear_in_the_rates_and_near_the_truth(client: LutClient) -> None:
    paths = nested()
    expectation = expect(client, paths)
    assert [path.network for path in expectation.paths] == [spec.digest for _, spec, _ in paths]
    predicted = [path.predicted_us for path in expectation.paths]
    mean_us = sum(rate * (value or 0) for rate, value in zip(RATES, predicted, strict=True))
    assert expectation.predicted_us == pytest.approx(mean_us)
    true_us = sum(rate * truth.network_us(spec) for _, spec, rate in paths)
    assert expectation.predicted_us == pytest.approx(true_us, rel=0.03)
    assert (expectation.low_us or 0) < true_us < (expectation.high_us or 0)
    doubled = expect(client, [(label, spec, 2 * rate) for label, spec, rate in paths])
    assert figures(doubled) == pytest.approx([2 * value for value in figures(expectation)])


def test_one_path_in_every_input_is_its_prediction(client: LutClient) -> None:
    label, spec, _ = nested()[1]
    expectation = expect(client, [(label, spec, 1)])
    (prediction,) = client.predict([spec], "cpu-1", CPU)
    assert expectation.paths == (prediction,)
    assert figures(expectation) == pytest.approx(figures(prediction))


def test_order_and_splitting_a_path_change_nothing(client: LutClient) -> None:
    paths = nested()
    whole = figures(expect(client, paths))
    assert figures(expect(client, paths[::-1])) == pytest.approx(whole)
    label, spec, rate = paths[0]
    split: Paths = [(label, spec, rate / 4), ("again", spec, rate * 3 / 4), *paths[1:]]
    assert figures(expect(client, split)) == pytest.approx(whole)
    assert figures(expect(client, [*paths, ("never", paths[0][1], 0)])) == whole, "a path of rate 0 is left out"


def test_nested_paths_cost_what_their_stages_cost_where_they_are_reached(client: LutClient) -> None:
    paths = nested()
    raw_us = [path.raw_us or 0 for path in expect(client, paths).paths]
    stages_us = [after - before for before, after in zip([0, *raw_us], raw_us, strict=False)]
    reached = [sum(RATES[number:]) for number in range(len(RATES))]
    by_stages = sum(share * stage_us for share, stage_us in zip(reached, stages_us, strict=True))
    assert expect(client, paths).raw_us == pytest.approx(by_stages)


def test_what_paths_share_is_uncertain_once(client: LutClient) -> None:
    """Intervals of paths that share operations do not add up as if they were independent."""
    paths = nested()
    expectation = expect(client, paths)
    widths = [
        ((path.high_us or 0) - (path.low_us or 0)) * rate for path, rate in zip(expectation.paths, RATES, strict=True)
    ]
    width = (expectation.high_us or 0) - (expectation.low_us or 0)
    assert sum(value**2 for value in widths) ** 0.5 < width <= sum(widths) * 1.000001


def test_it_learns_from_its_own_paths_too(client: LutClient, lut: Lut) -> None:
    """The card of a prediction leaves a network out of its own; an expectation knows all that was measured."""
    paths = nested()
    before = expect(client, paths)
    truth.measure(lut, report(), [spec for _, spec, _ in paths])
    after = expect(client, paths)
    assert (after.high_us or 0) - (after.low_us or 0) < (before.high_us or 0) - (before.low_us or 0)
    assert after.calibration_id != before.calibration_id


def test_without_a_calibration_there_is_the_raw_sum_only(lut: Lut) -> None:
    table: LatencyTable = truth.build_table(lut, report())
    expectation = expect(lut.client, nested())
    assert (expectation.table_id, expectation.calibration_id) == (table.id, None)
    assert (expectation.predicted_us, expectation.low_us, expectation.high_us) == (None, None, None)
    assert expectation.raw_us == pytest.approx(
        sum(
            rate * sum(item.count * truth.isolated_us(item.operation) for item in spec.operations)
            for _, spec, rate in nested()
        )
    )
    assert share_in_time(RATES, expectation.paths, 1e9) is None


def test_every_device_that_can_answers(client: LutClient, lut: Lut) -> None:
    truth.build_table(lut, report("cpu-2", "EPYC"))
    answers = client.expect(nested(), runtime=CPU)
    assert [(answer.device.name, answer.predicted_us is None) for answer in answers] == [
        ("EPYC", True),
        ("Xeon", False),
    ]


def test_the_share_in_time_is_that_of_the_paths_within_the_deadline(client: LutClient) -> None:
    paths = expect(client, nested()).paths
    deadline_us = paths[1].high_us or 0
    assert share_in_time(RATES, paths, deadline_us) == pytest.approx(0.8)
    assert share_in_time(RATES, paths, deadline_us * 0.999) == pytest.approx(0.5)
    assert share_in_time((1, 0.1, 0.4), paths, deadline_us) is None, "amortized rates are no shares"


@pytest.mark.parametrize("rate", [-0.5, float("nan"), float("inf"), 1e7])
def test_a_rate_that_is_none_is_refused(lut: Lut, rate: float) -> None:
    with pytest.raises(ValueError, match=r"paths\.0\.rate"):
        lut.client.expect([("exit", nested()[0][1], rate)], "cpu-1", CPU)


def test_what_cannot_be_expected_is_refused(client: LutClient) -> None:
    known, other = nested()[0][1], network(operation(8, "conv", "0" * 64))
    with pytest.raises(ValueError, match="several spaces"):
        client.expect([("a", known, 0.5), ("b", other, 0.5)], "cpu-1", CPU)
    with pytest.raises(ValueError, match="at least 1 item"):
        client.expect([("a", known, 0)], "cpu-1", CPU)
    with pytest.raises(Rejected, match="no row for 1 operation"):
        client.expect([("a", known, 0.5), ("b", network(operation(9)), 0.5)], "cpu-1", CPU)
    with pytest.raises(NotFound, match="no table of Xeon"):
        client.expect([("b", other, 1)], "cpu-1", CPU)
