"""The network that a search by gradient ends with, among those that its α draws."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lgcnet_search.computing.how import ALONE
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.evolution.choosing import choose, drawn, search_by_gradient
from lgcnet_search.search.search import SearchResult, SearchSettings
from lgcnet_search.search.supernet import Supernet
from lgcnet_search.search.targets import Target
from lgcnet_search.space.genotype import Genotype, random_genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from lgcnet_search.training.evaluate import Scores
from street_scenes import files as street_scenes
from tests.support.tiny_spaces import TINY, make_table

LATENCIES = Latencies(make_table(TINY.operations))
PROXY = replace(TINY, height=33, width=49)
LIKELY = random_genotype(TINY, 0)


def found(ceiling_us: float | None = None, strength: float = 1.0) -> SearchResult:
    """A search whose α' is `strength` for every choice of LIKELY, 0 for all others."""
    log_alpha = {
        edge.name: strength * torch.tensor([float(name == LIKELY.choices[edge.name]) for name in edge.names])
        for edge in TINY.graph.edges
    }
    settings = SearchSettings(steps=1, ceiling_us=ceiling_us)
    predicted_us = LATENCIES.network_us(network_spec(LIKELY))
    return SearchResult(LIKELY, predicted_us, (), settings, PROXY, "", {}, Supernet(PROXY), log_alpha)


def test_the_most_likely_network_comes_first_and_the_others_are_as_likely_as_alpha_says() -> None:
    networks = drawn(found(), LATENCIES, 300)
    assert networks[0] == LIKELY
    assert len({network.to_json() for network in networks}) == len(networks) == 300
    edge = TINY.cell_edges[0]
    kept = np.mean([network.choices[edge.name] == LIKELY.choices[edge.name] for network in networks])
    assert kept == pytest.approx(math.e / (math.e + len(edge.names) - 1), abs=0.08)
    assert drawn(found(), LATENCIES, 5) == networks[:5]


def test_where_alpha_has_decided_there_are_fewer_networks() -> None:
    assert drawn(found(strength=1000.0), LATENCIES, 10) == [LIKELY]


def test_all_stay_under_the_ceiling() -> None:
    ceiling_us = 0.9 * found().predicted_us
    networks = drawn(found(ceiling_us), LATENCIES, 20)
    assert len(networks) == 20
    assert max(LATENCIES.network_us(network_spec(network)) for network in networks) <= ceiling_us


def test_the_most_accurate_is_found() -> None:
    edge = TINY.cell_edges[0]

    def accuracy(genotype: Genotype) -> Scores:
        miou = edge.names.index(genotype.choices[edge.name]) / 10
        return Scores(miou=miou, pixel_accuracy=0.0, iou={}, images=1)

    done: list[int] = []
    result = choose(found(), LATENCIES, accuracy, 60, done.append)
    assert result.genotype.choices[edge.name] == edge.names[-1]
    assert result.predicted_us == LATENCIES.network_us(network_spec(result.genotype))
    assert result.judged[0].genotype == LIKELY
    assert done == list(range(1, 61))
    assert choose(found(), LATENCIES, accuracy, 1).genotype == LIKELY
    stopped = choose(found(), LATENCIES, accuracy, 60, done.append, enough=lambda: done[-1] == 7)
    assert len(stopped.judged) == 7


def test_a_search_that_chooses_holds_pictures_back(tmp_path: Path) -> None:
    space = Space(height=65, width=97, channels=1)
    data = DataFolder(street_scenes.ensure(tmp_path / "scenes", {"train": 6}, (65, 97), workers=1))
    target = Target(Latencies(make_table(space.operations)), 0.005, tmp_path)
    proxy = replace(space, height=33, width=49)
    result = search_by_gradient(
        target, space, proxy, data, 2, SearchSettings(steps=2, sampling="hard"), 3, ALONE, save_every=1
    )
    assert len(result.judged) == 3
    shared = SearchSettings(steps=2, sampling="hard", guide="none", shared_cells=True)
    together = search_by_gradient(
        replace(target, folder=tmp_path / "scenes"), space, proxy, data, 2, shared, 3, ALONE, save_every=1
    )
    assert not together.judged, "shared cells are not drawn apart"
    assert result.genotype == max(result.judged, key=lambda network: (network.miou, -network.predicted_us)).genotype
