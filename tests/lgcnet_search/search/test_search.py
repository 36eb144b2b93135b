"""The search as a whole: it learns, it trades accuracy for latency, it repeats, and it refuses what cannot be."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from latency_tables.contract import MissingRows
from lgcnet_search.computing.batches import Batches
from lgcnet_search.computing.how import Computing
from lgcnet_search.search.ceiling import CeilingTooLow
from lgcnet_search.search.logs import SearchLog
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.search.search import SearchSettings, StepRecord, rates_for, search
from lgcnet_search.search.update import Sampling
from lgcnet_search.space.candidates import SKIP, ZERO
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Aggregation, Space
from tests.support.tiny_spaces import TINY, make_table

PROXY = replace(TINY, height=33, width=49)
TABLE = make_table(TINY.operations)


def batch(images: int = 2) -> tuple[Tensor, Tensor]:
    """Halves of an image in two brightnesses: something to learn."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.zeros(images, PROXY.height, PROXY.width, dtype=torch.int64)
    targets[:, :, 20:] = 1
    targets[:, :2] = 255
    return (targets == 1).float()[:, None] + 0.1 * torch.randn(
        images, 3, *targets.shape[1:], generator=generator
    ), targets


@pytest.mark.parametrize("sampling", ["soft", "hard"])
def test_search_learns_and_keeps_its_record(sampling: Sampling) -> None:
    settings = SearchSettings(steps=20, seed=1, weight_lr=(0.1, 0.1), sampling=sampling)
    recorded: list[StepRecord] = []
    result = search(TINY, PROXY, Latencies(TABLE), [batch(4)], settings, on_step=recorded.append)
    assert tuple(recorded) == result.history
    assert [record.step for record in result.history] == list(range(20))
    assert result.history[-1].cross_entropy < 0.75 * result.history[0].cross_entropy
    assert result.history[-1].temperature == pytest.approx(0.03 if sampling == "soft" else 1.0)
    assert result.predicted_us == pytest.approx(Latencies(TABLE).network_us(network_spec(result.genotype)))
    assert result.genotype.space == TINY
    assert result.latencies_digest == Latencies(TABLE).digest


def test_a_seed_gives_the_same_search_again() -> None:
    settings = SearchSettings(steps=3, seed=5)
    first, second = (search(TINY, PROXY, Latencies(TABLE), [batch()], settings) for _ in range(2))
    assert first == second
    assert search(TINY, PROXY, Latencies(TABLE), [batch()], replace(settings, seed=6)).history != first.history


def test_a_heavy_latency_loss_finds_the_fastest_network() -> None:
    settings = SearchSettings(steps=40, seed=0, beta=1000.0, alpha_lr=0.5)
    free = search(TINY, PROXY, Latencies(TABLE), [batch()], replace(settings, beta=0.0))
    fast = search(TINY, PROXY, Latencies(TABLE), [batch()], settings)
    assert fast.predicted_us < 0.7 * free.predicted_us
    assert sum(fast.genotype.choices[edge.name] not in (ZERO, SKIP) for edge in TINY.cell_edges) < 14
    for edge in TINY.up_edges:
        costs = {name: TABLE[spec].latency.median_us for name, spec in edge.candidates.items() if spec}
        assert fast.genotype.choices[edge.name] == min(costs, key=lambda name: costs[name])


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_every_aggregation_can_be_searched(aggregation: Aggregation) -> None:
    space, proxy = (replace(base, aggregation=aggregation) for base in (TINY, PROXY))
    settings = SearchSettings(steps=2, sampling="hard", guide="none", shared_cells=True)
    result = search(space, proxy, Latencies(make_table(space.operations)), [batch()], settings)
    assert result.genotype.space.aggregation == aggregation
    assert Genotype.from_json(result.genotype.to_json()) == result.genotype


def test_missing_rows_come_before_the_first_batch() -> None:
    class Batches:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            raise AssertionError("a batch was asked for")

    with pytest.raises(MissingRows):
        search(TINY, PROXY, Latencies(make_table(TINY.operations[1:])), Batches())


@pytest.mark.parametrize(
    ("proxy", "batches", "message"),
    [
        (PROXY, [batch(1)], "at least 2"),
        (PROXY, [], "none left"),
        (PROXY, lambda used: [batch()][used:], "ended at step 1 of 2"),
        (PROXY, [(batch()[0], batch()[1][:, 1:])], r"targets \(2, 32, 49\) given"),
        (TINY, [batch()], "the proxy takes N×3×65×97"),
        (replace(PROXY, classes=5), [batch()], "5 classes, the space has 4"),
        (Space(height=33, width=49, channels=1, classes=4, cells=15), [batch()], "other edges"),
    ],
)
def test_what_does_not_fit_is_refused(proxy: Space, batches: Batches, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search(TINY, proxy, Latencies(TABLE), batches, SearchSettings(steps=2))


def test_a_ceiling_that_no_network_keeps_comes_before_the_first_batch() -> None:
    def batches(_: int) -> Iterator[tuple[Tensor, Tensor]]:
        raise AssertionError("a batch was asked for")

    with pytest.raises(CeilingTooLow, match=r"ceiling: 0\.001 ms is too low"):
        search(TINY, PROXY, Latencies(TABLE), batches, SearchSettings(steps=2, ceiling_us=1.0))


def test_the_log_shows_the_loss_that_is_optimized(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ceiling_us = 1.5 * RandomSearch(TINY, Latencies(TABLE)).fastest_us
    recorded: dict[str, float] = {}
    monkeypatch.setattr(SummaryWriter, "add_scalar", lambda _, name, value, __: recorded.update({name: value}))
    with SearchLog(tmp_path, 1) as log:
        settings = SearchSettings(steps=1, beta=0.1, ceiling_us=ceiling_us)
        search(TINY, PROXY, Latencies(TABLE), [batch()], settings, on_step=log.step)
    latency_us = recorded["latency_us"]
    assert latency_us > ceiling_us
    expected = 0.1 * math.log(latency_us) + math.log(latency_us / ceiling_us)
    assert recorded["loss/latency"] == pytest.approx(expected, rel=1e-5)
    assert recorded["loss/total"] == pytest.approx(recorded["loss/cross_entropy"] + expected, rel=1e-5)


@pytest.mark.parametrize("sampling", ["soft", "hard"])
def test_loss_is_the_mean_over_the_pixels_that_count(sampling: Sampling) -> None:
    images, targets = batch(4)
    targets[2:] = 255
    settings = SearchSettings(steps=2, sampling=sampling)
    result = search(TINY, PROXY, Latencies(TABLE), [(images, targets)], settings)
    targets[:, :5] = 255
    fewer = search(TINY, PROXY, Latencies(TABLE), [(images, targets)], settings)
    assert fewer.history[0].cross_entropy == pytest.approx(result.history[0].cross_entropy, rel=0.2)
    nothing = search(TINY, PROXY, Latencies(TABLE), [(images, torch.full_like(targets, 255))], settings)
    assert [record.cross_entropy for record in nothing.history] == [0, 0]


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"beta": -1.0},
        {"beta": float("nan")},
        {"sampling": "firm"},
        {"guide": "stars"},
        {"warm_up": 1.0},
        {"warm_up": -0.1},
        {"alpha_lr": 0.0},
        {"guide": "edge-similarity", "shared_cells": True},
        {"guide_dimension": 0},
        {"ceiling_us": 1e4, "guide": "none", "shared_cells": True},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float | str]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SearchSettings(**settings)  # type: ignore[arg-type]


def test_few_steps_have_faster_learning_rates_and_many_the_papers() -> None:
    assert [rates_for(steps).alpha_lr for steps in (0, 100, 1000, 20_000)] == [0.03, 0.03, 0.01, 0.001]
    assert [rates_for(steps).weight_lr for steps in (9_999, 10_000)] == [(0.1, 0.001), (0.025, 0.001)]


@pytest.mark.parametrize("settings", [{"accumulate": 0}, {"amp": "fp8"}])
def test_impossible_ways_to_compute_are_refused(settings: dict[str, int | str]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Computing(**settings)  # type: ignore[arg-type]
