"""What a search finds: the right network of a toy, different candidates while undecided, and what is said of it."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latency_tables.contract import Latency, LatencyTable
from lgcnet_search.search.architecture import Architecture, EdgeTensors
from lgcnet_search.search.findings import candidates_per_cell, constant_cells, findings, latency_percentile, light_share
from lgcnet_search.search.guide import Guide
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.search.search import SearchResult, SearchSettings, StepRecord, search
from lgcnet_search.search.supernet import Supernet
from lgcnet_search.space.genotype import Genotype, random_genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from tests.support.tiny_search import PROXY, TABLE, batches
from tests.support.tiny_spaces import TINY, one_hot, without_edges

CHANCE = random.Random(0)
RIGHT, TOO_SLOW = (
    Genotype.of(
        TINY,
        {
            edge.name: CHANCE.choice([name for name in edge.names[parity::2] if edge.candidates[name]])
            for edge in TINY.graph.edges
        },
    )
    for parity in (0, 1)
)
"""No operation is in both."""


class Toy(nn.Module):
    """Pixels of class 1 are recognized by as many edges as take the right candidate, or the one that is too slow."""

    def __init__(self, space: Space, recompute: bool = False) -> None:
        super().__init__()
        assert not recompute
        self.space = space
        self.scale = nn.Parameter(torch.tensor(0.03))
        self.worth = EdgeTensors(*(a + 1.1 * b for a, b in zip(one_hot(RIGHT), one_hot(TOO_SLOW), strict=True)))

    def forward(self, images: Tensor, z: EdgeTensors) -> Tensor:
        recognized = torch.stack([(a * b).sum() for a, b in zip(z, self.worth, strict=True)]).sum()
        logits = torch.zeros(len(images), self.space.classes, *images.shape[2:])
        logits[:, 1] = self.scale * recognized
        return logits


def toy_table() -> LatencyTable:
    """The candidates that are too slow take ten times as long as all else."""
    slow = {edge.candidates[TOO_SLOW.choices[edge.name]] for edge in TINY.graph.edges}
    rows = (
        row.model_copy(update={"latency": Latency.of([1000.0 if row.operation in slow else 100.0] * 12)})
        for row in TABLE.rows
    )
    return TABLE.model_copy(update={"rows": tuple(rows)})


@pytest.mark.parametrize("guide", ["edge-similarity", "none"])
def test_the_right_network_under_a_ceiling_is_found(guide: Guide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lgcnet_search.search.search.Supernet", Toy)
    latencies = Latencies(toy_table())
    right_us = latencies.network_us(network_spec(RIGHT))
    assert latencies.network_us(network_spec(TOO_SLOW)) > 1.5 * right_us

    def ones(_: int) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield torch.zeros(2, *PROXY.input_shape), torch.ones(2, PROXY.height, PROXY.width, dtype=torch.int64)

    settings = SearchSettings(
        steps=250,
        sampling="hard",
        guide=guide,
        warm_up=0,
        alpha_lr=0.1,
        weight_lr=(1e-9, 1e-9),
        ceiling_us=1.02 * right_us,
    )
    result = search(TINY, PROXY, latencies, ones, settings)
    taken = [result.genotype.choices[name] == right for name, right in RIGHT.choices.items()]
    assert sum(taken) / len(taken) >= 0.95
    assert result.predicted_us <= 1.02 * right_us


def test_cells_differ_while_the_search_has_not_decided() -> None:
    course: list[tuple[float, float]] = []

    def on_architecture(_: int, architecture: Architecture) -> None:
        course.append((architecture.entropy(), candidates_per_cell(architecture.genotype())))

    settings = SearchSettings(steps=24, sampling="hard", alpha_lr=0.05, warm_up=0.25, seed=4)
    search(TINY, PROXY, Latencies(TABLE), batches, settings, on_architecture=on_architecture)
    assert all(entropy > 0.9 * course[0][0] for entropy, _ in course), "so few steps decide nothing"
    assert min(candidates for _, candidates in course) > 3


def test_alpha_is_held_until_the_weights_have_learned_something() -> None:
    alphas: list[Tensor] = []
    settings = SearchSettings(steps=8, sampling="hard", alpha_lr=0.05, warm_up=0.5, temperature=(1.0, 0.03))

    def on_architecture(_: int, architecture: Architecture) -> None:
        alphas.append(architecture.cells.detach().clone())

    result = search(TINY, PROXY, Latencies(TABLE), batches, settings, on_architecture=on_architecture)
    assert all(torch.equal(alphas[0], alpha) for alpha in alphas[:4])
    assert not torch.equal(alphas[3], alphas[4])
    assert [record.temperature for record in result.history[:5]] == [1.0] * 5
    assert result.history[-1].temperature == pytest.approx(0.03)


def result_of(genotype: Genotype, entropies: list[float], losses: list[float], **undecided: float) -> SearchResult:
    predicted_us = Latencies(TABLE).network_us(network_spec(genotype))
    history = tuple(
        StepRecord(step, loss, predicted_us, 0.0, 1.0, entropy)
        for step, (loss, entropy) in enumerate(zip(losses, entropies, strict=True))
    )
    edges = {edge.name: 0.1 for edge in TINY.graph.edges}
    settings = SearchSettings(steps=len(history))
    of_edges: Any = {**edges, **undecided}
    return SearchResult(genotype, predicted_us, history, settings, PROXY, "", of_edges, Supernet(PROXY), {})


FALLING = [3.0 - 0.02 * step for step in range(100)]


def test_a_sound_search_has_no_warnings_and_says_what_is_undecided() -> None:
    genotype = next(
        genotype
        for genotype in (random_genotype(TINY, seed) for seed in range(99))
        if not constant_cells(genotype) and candidates_per_cell(genotype) > 3
    )
    entropies = [2.0 - 0.018 * step for step in range(100)]
    found = findings(result_of(genotype, entropies, FALLING, **{"cell3.i1-x2": 1.9}), Latencies(TABLE))
    assert found.warnings == ()
    assert found.undecided == {"cell3.i1-x2": 1.9}
    assert found.candidates_per_cell == pytest.approx(sum(len(set(cell)) for cell in genotype.cells) / 14)
    light = [name in ("zero", "skip", "max_pool_3x3") for cell in genotype.cells[8:] for name in cell]
    assert found.light_share == light_share(genotype)
    assert found.light_share[16] == pytest.approx(sum(light) / len(light))
    assert list(found.light_share) == [4, 8, 16]
    assert any("1 edges undecided (cell3.i1-x2)" in line for line in found.lines)


@pytest.mark.parametrize(
    ("entropies", "losses", "warning"),
    [
        ([2.0, 1.2, *[0.4] * 98], FALLING, "collapsed: half of the edges' entropy was gone at step 2"),
        ([1.98] * 100, FALLING, "did not decide: its edges end with an entropy of 1.98"),
    ],
)
def test_a_search_that_collapsed_or_did_not_decide_says_so(
    entropies: list[float], losses: list[float], warning: str
) -> None:
    found = findings(result_of(random_genotype(TINY, 0), entropies, losses), Latencies(TABLE))
    assert any(warning in text for text in found.warnings)


def test_cells_that_are_all_alike_or_constant_are_warned_of() -> None:
    alike = Genotype.of(TINY, {**RIGHT.choices, **{edge.name: "skip" for edge in TINY.cell_edges}})
    found = findings(result_of(without_edges(alike, 13), [2.0] * 5, [1.0] * 5), Latencies(TABLE))
    assert found.constant_cells == (13,)
    assert found.warnings == (
        "14 of 14 cells have one and the same candidate on all edges",
        "the output of cell 13 is constant: it does not see the image",
    )


def test_the_fastest_network_is_faster_than_all_random_ones_and_the_median_than_half() -> None:
    networks = RandomSearch(TINY, Latencies(TABLE))
    assert latency_percentile(networks, networks.fastest_us) == 0
    middle = sorted(Latencies(TABLE).network_us(network_spec(random_genotype(TINY, seed))) for seed in range(201))[100]
    assert latency_percentile(networks, middle) == pytest.approx(0.5, abs=0.12)
