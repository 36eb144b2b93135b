"""Does a supernet rank? τ with an interval that is right; a ranking of trained networks, stopped and gone on with."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from lgcnet_search.ablations import ranking
from lgcnet_search.ablations.arms import EQUAL_LATENCY
from lgcnet_search.ablations.network import Study, Trial
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.ranking import rank, tau_of, trained_networks, write_ranking
from lgcnet_search.errors import Refused
from lgcnet_search.space.genotype import random_genotype

ARMS = {arm.name: arm for arm in EQUAL_LATENCY.arms}


def outcomes(study: Study, count: int) -> list[Outcome]:
    genotypes = [json.loads(random_genotype(study.space, seed).to_json()) for seed in range(count)]
    return [Outcome("random", seed, one, 1.0, 1, 10, 0.1 + 0.01 * seed, {}) for seed, one in enumerate(genotypes)]


def test_tau_has_an_interval() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=40)
    near = tau_of((truth + 0.3 * generator.normal(size=40)).tolist(), truth.tolist())
    far = tau_of(generator.normal(size=40).tolist(), truth.tolist())
    assert 0.6 < near.tau < 1
    assert 0 < near.interval.low < near.tau < near.interval.high < 1
    assert far.interval.low < 0 < far.interval.high
    assert near.interval.half_width < far.interval.half_width
    assert tau_of(truth.tolist(), truth.tolist()).tau == 1
    assert tau_of([1.0] * 40, truth.tolist()).tau == 0


@pytest.mark.process
@pytest.mark.parametrize("name", ["guided", "evolution"])
def test_networks_are_ranked_at_every_stage(study: Study, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(ranking, "LEAST", 3)
    trained = outcomes(study, 3)
    first = rank(study, Trial(ARMS[name], 0), trained)
    assert list(first.inherited) == ["start", "middle", "end"]
    assert all(len(values) == 3 for values in first.inherited.values())
    assert first.inherited["start"] != first.inherited["end"]
    steps: list[int] = []
    assert rank(study, Trial(ARMS[name], 0), trained, on_step=lambda done, _: steps.append(done)) == first
    assert steps == [], "the supernet is trained already"
    text, everything, picture = write_ranking(study, ARMS[name], first)
    assert "| end |" in text.read_text()
    assert json.loads(everything.read_text())["taus"].keys() == first.inherited.keys()
    assert picture.stat().st_size > 1000


def test_trained_networks_come_from_an_ablations_file(study: Study, tmp_path: Path) -> None:
    trained = outcomes(study, 2)
    path = tmp_path / "table-7.json"
    untrained = replace(trained[1], miou=None, seed=5)
    listed = [asdict(one) for one in (*trained, trained[0], untrained)]
    path.write_text(json.dumps({"networks": [{"ceiling": "fastest-25", **one} for one in listed]}))
    assert trained_networks(path) == trained
    path.write_text("{}")
    with pytest.raises(Refused, match=r"table-7\.json is no ablation's NAME\.json"):
        trained_networks(path)
    with pytest.raises(Refused, match="networks: 2 trained ones, at least 24"):
        rank(study, Trial(ARMS["guided"], 0), trained)
