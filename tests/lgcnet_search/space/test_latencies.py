"""Latencies alone and inside a network; networks under a ceiling."""

from statistics import NormalDist

import pytest
import torch
import uuid6

from latency_tables.calibration import Calibrated, TimedNetwork
from latency_tables.contract import (
    Latency,
    LatencyTable,
    Transfer,
)
from latency_tables.latencies import basis_of
from lgcnet_search.search.ceiling import Ceiling, CeilingTooLow, margin, within_ceiling
from lgcnet_search.search.latency import LatencyModel, latency_loss
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.space.candidates import SKIP
from lgcnet_search.space.genotype import random_genotype
from lgcnet_search.space.latencies import Latencies, TooUncertain, TransferLatencies
from lgcnet_search.space.network import network_spec
from lut_server.analysis.prediction import Predictor
from tests.support.tiny_spaces import TINY, make_calibration, make_table, one_hot

TABLE = make_table(TINY.operations)
ADDITIONS = TABLE.model_copy(
    update={
        "rows": tuple(
            row.model_copy(update={"latency": Latency.of([5000.0] * 12)}) if row.operation.name == "add" else row
            for row in TABLE.rows
        )
    }
)


def test_the_latency_of_a_one_hot_sample_is_the_calibrated_prediction_of_its_network() -> None:
    latencies = Latencies(TABLE, make_calibration(TABLE))
    for seed in range(20, 24):
        genotype = random_genotype(TINY, seed)
        expected = latencies.network_us(network_spec(genotype))
        assert LatencyModel(TINY, latencies).double()(one_hot(genotype)).item() == pytest.approx(expected, rel=1e-6)
        assert expected > 1.05 * Latencies(TABLE).network_us(network_spec(genotype)), "more than the sum of the rows"


@pytest.mark.parametrize("with_calibration", [False, True])
def test_server_and_search_predict_the_same(with_calibration: bool) -> None:
    """Also of a table with latencies at the machine's standard state, which are not the medians."""
    rows = (row.model_copy(update={"normalized_us": 0.9 * row.latency.median_us}) for row in TABLE.rows)
    table = TABLE.model_copy(update={"rows": tuple(rows)})
    network = network_spec(random_genotype(TINY, 99))
    if not with_calibration:
        predicted_us = Predictor(table, basis_of(table)).predict(network).raw_us
        assert predicted_us == pytest.approx(0.9 * Latencies(TABLE).network_us(network))
        assert Latencies(table).network_us(network) == predicted_us
        return
    learned = make_calibration(table, normalized=True)
    assert learned.basis == "normalized_us"
    networks = [network_spec(random_genotype(TINY, seed)) for seed in range(12)]
    observed = [
        TimedNetwork(network, evidence.measured_us)
        for network, evidence in zip(networks, learned.evidence, strict=True)
    ]
    predictor = Predictor(table, learned.basis, learned, Calibrated(table, observed, learned.basis))
    assert Latencies(table, learned).network_us(network) == pytest.approx(predictor.predict(network).predicted_us)


def test_pooling_is_cheaper_inside_a_network_and_convolutions_dearer() -> None:
    latencies = Latencies(TABLE, make_calibration(TABLE))
    ratios = {
        operation.name: latencies.operation_us(operation) / TABLE[operation].latency.median_us
        for operation in TINY.operations
    }
    assert ratios["max_pool_3x3"] < 1 < ratios["conv_3x3"]


def test_a_margin_needs_a_calibration_and_widens_with_the_quantile() -> None:
    latencies = Latencies(TABLE, make_calibration(TABLE))
    assert margin(latencies, 0.5) == 1
    assert 1 < margin(latencies, 0.8) < margin(latencies, 0.99)
    evidence = latencies.calibration and latencies.calibration.evidence
    assert evidence
    widths = sorted(network.high_us / network.predicted_us for network in evidence)
    assert widths[0] <= margin(latencies, NormalDist().cdf(1.6449)) <= widths[-1]
    with pytest.raises(ValueError, match=r"quantile: 0\.95 needs a calibration, which table .* does not have"):
        margin(Latencies(TABLE), 0.95)


def test_a_margin_is_above_zero_for_every_quantile_and_every_doubt() -> None:
    fitted = make_calibration(TABLE)
    doubtful = [
        network.model_copy(update={"low_us": 0.2 * network.predicted_us, "high_us": 1.8 * network.predicted_us})
        for network in fitted.evidence
    ]
    latencies = Latencies(TABLE, fitted.model_copy(update={"evidence": tuple(doubtful)}))
    quantiles = (1e-9, 0.001, 0.2, 0.5, 0.8, 0.999)
    margins = [margin(latencies, quantile) for quantile in quantiles]
    assert 0 < margins[0] < margins[1] < margins[2] < 1 == margins[3] < margins[4] < margins[5]
    assert margins[1] * margins[5] == pytest.approx(1), "as likely to be so many times faster as slower"


def test_a_calibration_of_another_table_is_refused() -> None:
    with pytest.raises(ValueError, match="not of"):
        Latencies(make_table(TINY.operations, seed=1), make_calibration(TABLE))


def test_a_calibration_is_part_of_what_latencies_depend_on() -> None:
    assert Latencies(TABLE).digest != Latencies(TABLE, make_calibration(TABLE)).digest


def test_the_loss_is_steeper_while_a_ceiling_is_exceeded() -> None:
    for exceeded_us, slope in ((None, 0.01 / 110), (100.0, (0.01 + 1) / 110)):
        latency = torch.tensor(110.0, requires_grad=True)
        latency_loss(latency, 0.01, exceeded_us).backward()  # type: ignore[no-untyped-call]
        assert latency.grad is not None
        assert latency.grad.item() == pytest.approx(slope)


def test_the_network_under_a_ceiling_gives_up_what_matters_least() -> None:
    generator = torch.Generator().manual_seed(0)
    log_alpha = {edge.name: torch.randn(len(edge.names), generator=generator) for edge in TINY.graph.edges}
    latencies = Latencies(TABLE)
    free = within_ceiling(TINY, log_alpha, latencies, Ceiling(float("inf")))
    best = {edge.name: edge.names[int(log_alpha[edge.name].argmax())] for edge in TINY.graph.edges}
    assert free.choices == best
    free_us = latencies.network_us(network_spec(free))
    changes = []
    for share in (0.95, 0.85):
        genotype = within_ceiling(TINY, log_alpha, latencies, Ceiling(share * free_us))
        assert latencies.network_us(network_spec(genotype)) <= share * free_us
        changes.append(sum(genotype.choices[name] != best[name] for name in best))
    assert 0 < changes[0] <= changes[1] < len(best) / 2


@pytest.mark.parametrize("table", [TABLE, ADDITIONS], ids=["any", "additions"])
def test_every_ceiling_that_a_network_keeps_is_reached(table: LatencyTable) -> None:
    """Where additions cost most, a skip has to become zero, which executes as little but saves the addition."""
    latencies = Latencies(table)
    log_alpha = {edge.name: torch.zeros(len(edge.names)) for edge in TINY.graph.edges}
    for edge in TINY.cell_edges:
        log_alpha[edge.name][edge.names.index(SKIP)] = 5.0
    fastest_us = RandomSearch(TINY, latencies).fastest_us
    genotype = within_ceiling(TINY, log_alpha, latencies, Ceiling(fastest_us))
    assert latencies.network_us(network_spec(genotype)) == pytest.approx(fastest_us)
    with pytest.raises(CeilingTooLow):
        within_ceiling(TINY, log_alpha, latencies, Ceiling(0.999 * fastest_us))


def test_a_ceiling_that_is_too_low_is_refused_with_what_was_asked_for() -> None:
    latencies = Latencies(TABLE, make_calibration(TABLE))
    fastest_us = RandomSearch(TINY, latencies).fastest_us
    at_most = margin(latencies, 0.95)
    fastest_ms, slowed_ms = fastest_us / 1000, at_most * fastest_us / 1000
    message = rf"ceiling: 1 ms is too low: .* take {fastest_ms:.6g} ms, so it counts as {slowed_ms:.6g}"
    with pytest.raises(CeilingTooLow, match=rf"{message} ms \(margin {at_most:.4g}\); raise the ceiling"):
        Ceiling.reachable(TINY, latencies, 1000.0, 0.95)
    assert Ceiling.reachable(TINY, latencies, 1.001 * at_most * fastest_us, 0.95).margin == at_most


def _transfer(std_rel: float = 0.1, operations: int = len(TINY.operations), intervals: bool = True) -> Transfer:
    """Of a device where every operation takes 100 µs, known to so much of it."""
    networks = [network_spec(random_genotype(TINY, seed)) for seed in range(4)]
    keys = [spec.digest for spec in TINY.operations[:operations]]
    evidence = [
        {
            "network": network.digest,
            "measurement_id": uuid6.uuid7(),
            "measured_us": 4000,
            "predicted_us": 4000 if intervals else None,
            "low_us": 3600 if intervals else None,
            "high_us": 4400 if intervals else None,
        }
        for network in networks
    ]
    figures = {"mape": 0.05, "max_rel": 0.1, "within_5": 0.5, "within_10": 1, "rmse_us": 9, "tau": None, "rho": None}
    card = {"networks": 4, "predicted": figures, "coverage90": 1, "measured_at": TABLE.created_at}
    return Transfer.model_validate(
        {
            **TABLE.model_dump(include={"id", "created_at", "device", "runtime", "method_version"}),
            "environment": TABLE.environment.digest,
            "space": TABLE.space,
            "space_digest": TABLE.space_digest,
            "version": "x",
            "basis": "median_us",
            "counted": True,
            "sources": [{"name": "another"}],
            "likeness": [{"kind": "none", "share": 1}],
            "constant_us": {"kind": "constant", "mean": 50, "std": 5},
            "rows": [{"key": key, "latency_us": 100, "std_us": 100 * std_rel} for key in keys],
            "evidence": evidence,
            "card": card if intervals else None,
        }
    )


def test_a_transfer_is_searched_with_as_a_table_is() -> None:
    latencies = TransferLatencies(_transfer())
    genotype = random_genotype(TINY, 1)
    network = network_spec(genotype)
    executed = sum(item.count for item in network.operations)
    assert latencies.network_us(network) == pytest.approx(50 + 100 * executed)
    model = LatencyModel(TINY, latencies)
    assert float(model(one_hot(genotype))) == pytest.approx(50 + 100 * executed, rel=1e-5)
    assert margin(latencies, 0.95) == pytest.approx(1.1, rel=1e-3), "the upper end of its interval"


def test_a_transfer_that_is_too_uncertain_is_refused() -> None:
    with pytest.raises(TooUncertain, match="too few to know how far it is off"):
        TransferLatencies(_transfer(intervals=False))
    with pytest.raises(TooUncertain, match=r"is too uncertain about \d+ of \d+ operations: .* or a table"):
        LatencyModel(TINY, TransferLatencies(_transfer(std_rel=0.9)))
    with pytest.raises(TooUncertain, match="knows nothing of 1 of"):
        LatencyModel(TINY, TransferLatencies(_transfer(operations=len(TINY.operations) - 1)))
