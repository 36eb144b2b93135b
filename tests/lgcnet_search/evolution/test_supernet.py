"""The supernet of evolution: fair paths, a training that learns and goes on, networks judged by its weights."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lgcnet_search.computing.checkpoint import CheckpointError
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.how import ALONE
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.evolution import pictures
from lgcnet_search.evolution.genetic import EvolutionSettings
from lgcnet_search.evolution.inherited import InheritedAccuracy
from lgcnet_search.evolution.judging import load_supernet, save_supernet
from lgcnet_search.evolution.one_path import OnePathRun, PathSettings
from lgcnet_search.evolution.paths import fair_path, one_hot_of
from lgcnet_search.evolution.searching import OnePathSupernet, search_by_evolution
from lgcnet_search.search.inherited import inherited
from lgcnet_search.search.supernet import Supernet
from lgcnet_search.space.genotype import random_genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space
from lgcnet_search.training.evaluate import evaluate
from lgcnet_search.training.recalibrate import recalibrate
from street_scenes import files as street_scenes
from tests.support.tiny_search import batches
from tests.support.tiny_spaces import TINY, make_table, one_hot

PROXY = replace(TINY, height=33, width=49)


def test_every_candidate_is_trained_equally_often() -> None:
    paths = [fair_path(TINY, 3, step) for step in range(80)]
    for edge in TINY.graph.edges:
        taken = Counter(path.choices[edge.name] for path in paths)
        assert set(taken.values()) == {80 // len(edge.names)}, edge.name
    assert fair_path(TINY, 3, 7) == paths[7]
    assert fair_path(TINY, 4, 7) != paths[7]
    together = Counter((path.choices[TINY.cell_edges[0].name], path.choices[TINY.cell_edges[1].name]) for path in paths)
    assert max(together.values()) < 8, "edges are independent"


def test_a_path_is_one_hot() -> None:
    genotype = random_genotype(TINY, 0)
    for rows, expected in zip(one_hot_of(genotype), one_hot(genotype), strict=True):
        torch.testing.assert_close(rows, expected)


def test_training_learns_and_a_seed_repeats_it() -> None:
    def trained(seed: int) -> OnePathRun:
        run = OnePathRun(PROXY, PathSettings(30, seed, weight_lr=(0.1, 0.05)))
        source = batches()
        for _ in range(30):
            run.step([next(source)])
        return run

    run = trained(1)
    losses = [record.cross_entropy for record in run.history]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert trained(1).history == run.history
    assert trained(2).history != run.history


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return DataFolder(street_scenes.ensure(tmp_path_factory.mktemp("scenes"), {"train": 6}, (65, 97), workers=1))


SPACE = Space(height=65, width=97, channels=1)
SMALL = replace(SPACE, height=33, width=49)


def test_pictures_that_judge_are_not_trained_on(data: DataFolder) -> None:
    trained = {file.image for file in pictures.trained_on(data, SPACE, SMALL, 0).files}
    assert len(trained) == 4
    assert sum(len(images) for images, _ in pictures.judged(data, SMALL, 2, ALONE)) == 2
    everything = data.crops("train", (33, 49), (65, 97)).files
    assert trained == {file.image for number, file in enumerate(everything) if number % 5}


def test_inherited_accuracy_is_that_of_the_derived_network(data: DataFolder, tmp_path: Path) -> None:
    supernet = OnePathRun(SMALL, PathSettings(1)).supernet
    statistics = pictures.statistics(data, SMALL, 2, 0, ALONE)
    genotype = random_genotype(SPACE, 2)
    scores = InheritedAccuracy(supernet, statistics, pictures.judged(data, SMALL, 2, ALONE), data.labels)(genotype)
    network = inherited(supernet, genotype)
    recalibrate(network, statistics)
    held_back = data.whole("train", (33, 49), full_labels=False)
    held_back.files = held_back.files[::5]
    assert scores == evaluate(network, held_back)

    save_supernet(supernet, tmp_path / "supernet.pt")
    again = load_supernet(SMALL, tmp_path / "supernet.pt").state_dict()
    assert all(torch.equal(again[name], values) for name, values in supernet.state_dict().items())
    with pytest.raises(CheckpointError, match=r"proxy\.channels: 1 there, 2 now"):
        load_supernet(replace(SMALL, channels=2), tmp_path / "supernet.pt")


def test_a_supernet_goes_on_and_serves_every_ceiling(data: DataFolder, tmp_path: Path) -> None:
    latencies = Latencies(make_table(SPACE.operations))
    straight, stopped = (
        OnePathSupernet(SPACE, SMALL, data, 2, PathSettings(3), tmp_path / name) for name in ("straight", "stopped")
    )

    class Stopped(Exception):
        pass

    def stop(_: object) -> None:
        raise Stopped

    straight.train()
    with pytest.raises(Stopped):
        replace(stopped).train(save_every=1, on_step=stop)
    steps: list[int] = []
    stopped.train(save_every=1, on_step=lambda record: steps.append(record.step))
    assert steps == [0, 1, 2] or steps == [1, 2]
    weights = [load_supernet(SMALL, supernet.weights).state_dict() for supernet in (straight, stopped)]
    assert all(torch.equal(weights[1][name], values) for name, values in weights[0].items())

    settings = EvolutionSettings(generations=2, population=2)
    result = search_by_evolution(stopped, latencies, settings, tmp_path / "free")
    assert len(result.evolved) == 4
    assert result.best in result.evolved
    fast = replace(settings, ceiling_us=0.8 * min(one.predicted_us for one in result.evolved))
    under = search_by_evolution(stopped, latencies, fast, tmp_path / "fast", engine=Engine())
    assert under.best.predicted_us <= fast.ceiling_us  # type: ignore[operator]
    before = stopped.weights.stat().st_mtime_ns
    stopped.train(on_step=lambda _: pytest.fail("it is trained"))
    assert stopped.weights.stat().st_mtime_ns == before
    assert isinstance(load_supernet(SMALL, stopped.weights), Supernet)
