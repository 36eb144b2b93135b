"""Eq. 8-10 against loops, and against the multiset that a derived network executes."""

import itertools
import math

import numpy as np
import pytest
import torch

from latency_tables.contract import LatencyTable, MissingRows
from lgcnet_search.search.architecture import EdgeTensors
from lgcnet_search.search.latency import LatencyModel, latency_loss
from lgcnet_search.space.candidates import ZERO, candidates_of
from lgcnet_search.space.genotype import Genotype, random_genotype, typical_genotype
from lgcnet_search.space.graph import Edge, Node, Step
from lgcnet_search.space.latencies import Latencies, OtherInputSize
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from tests.support.tiny_spaces import TINY, make_table, one_hot, random_z, without_edges

TABLE = make_table(TINY.operations)
MODEL = LatencyModel(TINY, Latencies(TABLE)).double()
ZERO_COLUMN = candidates_of("cell").index(ZERO)


def looped_us(space: Space, table: LatencyTable, z: EdgeTensors) -> float:
    """LAT by loops; the additions of a node by going through all subsets of its edges."""
    weights = {name: row.tolist() for name, row in z.by_edge(space).items()}
    total = 0.0
    for part in space.graph.parts:
        if isinstance(part, Step):
            total += table[part.operation].latency.median_us
        elif isinstance(part, Edge):
            for operation, weight in zip(part.candidates.values(), weights[part.name], strict=True):
                if operation:
                    total += weight * table[operation].latency.median_us
        elif isinstance(part, Node):
            zero = [weights[name][ZERO_COLUMN] if part.zeros else 0.0 for name in part.inputs]
            for present in itertools.product((False, True), repeat=len(zero)):
                probability = math.prod(1 - p if here else p for here, p in zip(present, zero, strict=True))
                if sum(present):
                    cost = (sum(present) - 1) * table[part.addition].latency.median_us
                else:
                    cost = table[part.zeros.operation].latency.median_us if part.zeros else 0.0
                total += probability * cost
    return total


@pytest.mark.parametrize("seed", range(4))
def test_latency_is_equations_8_and_9(seed: int) -> None:
    z = random_z(TINY, seed)
    assert float(MODEL(z)) == pytest.approx(looped_us(TINY, TABLE, z), rel=1e-6)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("make", [random_genotype, typical_genotype])
def test_latency_of_one_hot_z_is_the_sum_over_what_the_network_executes(make, seed: int) -> None:  # type: ignore[no-untyped-def]
    genotype: Genotype = make(TINY, seed)
    if seed == 0:
        genotype = without_edges(genotype, 1, 5, 13)
    predicted = Latencies(TABLE).network_us(network_spec(genotype))
    assert float(MODEL(one_hot(genotype, torch.float64))) == pytest.approx(predicted, rel=1e-6)


def test_gradient_of_the_loss_equals_finite_differences() -> None:
    z = random_z(TINY, 7).map(lambda rows: rows.requires_grad_())
    torch.autograd.backward(latency_loss(MODEL(z)))
    step = 1e-6
    for group, rows in enumerate(z):
        assert rows.grad is not None
        for at in range(0, rows.numel(), 7):
            losses = []
            for sign in (1, -1):
                moved = [values.detach().clone() for values in z]
                moved[group].view(-1)[at] += sign * step
                losses.append(float(latency_loss(MODEL(EdgeTensors(*moved)))))
            expected = (losses[0] - losses[1]) / (2 * step)
            assert float(rows.grad.view(-1)[at]) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_gradient_at_one_hot_z_is_that_of_the_multilinear_form() -> None:
    """Two zeros in one node: a product's gradient by division would be NaN here."""
    z = one_hot(random_genotype(TINY, 3), torch.float64).map(lambda rows: rows.requires_grad_())
    torch.autograd.backward(MODEL(z))
    assert z.cells.grad is not None
    assert z.cells.grad.isfinite().all()
    moved = z.cells.detach().clone()
    moved[4, 0, ZERO_COLUMN] += 1e-3
    still = z.map(torch.detach)
    difference = float(MODEL(still._replace(cells=moved)) - MODEL(still)) / 1e-3
    assert float(z.cells.grad[4, 0, ZERO_COLUMN]) == pytest.approx(difference, rel=1e-5)


def test_loss_is_equation_10() -> None:
    latency_us = torch.tensor(8680.0, dtype=torch.float64, requires_grad=True)
    loss = latency_loss(latency_us)
    assert float(loss.detach()) == pytest.approx(0.005 * np.log(8680))
    torch.autograd.backward(loss)
    assert float(latency_us.grad) == pytest.approx(0.005 / 8680)  # type: ignore[arg-type]
    assert float(latency_loss(latency_us.detach(), beta=0.05)) == pytest.approx(0.05 * np.log(8680))


def test_missing_rows_are_named_before_anything_runs() -> None:
    missing = TINY.operations[17]
    table = make_table(operation for operation in TINY.operations if operation != missing)
    with pytest.raises(MissingRows) as caught:
        LatencyModel(TINY, Latencies(table))
    assert caught.value.missing == [missing]


def test_a_table_of_another_size_does_not_fit() -> None:
    with pytest.raises(OtherInputSize, match=r"is of input size 65×97, not of 97×65; profile this size"):
        LatencyModel(Space(height=97, width=65, channels=1, classes=4), Latencies(TABLE))
