"""Ablations from end to end, tiny; stopped and gone on with."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn
from torch.optim import SGD, AdamW

from lgcnet_search.ablations import network
from lgcnet_search.ablations.arms import ABLATIONS, Ablation, Arm
from lgcnet_search.ablations.comparison import write_section
from lgcnet_search.ablations.network import Limits, Study, Trial, make
from lgcnet_search.ablations.outcome import RESULT, Outcome
from lgcnet_search.ablations.runner import make_all, trials_of
from lgcnet_search.ablations.scale import SCALES
from lgcnet_search.ablations.tables import rows_of, settings, write_tables
from lgcnet_search.computing.checkpoint import CheckpointError
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.losses import LOSSES
from lgcnet_search.search.random_search import RandomSearch, TooFast
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec
from tests.support.layouts import seen_whole
from tests.support.tiny_spaces import make_calibration


@pytest.mark.process
def test_an_ablation_writes_its_table(study: Study) -> None:
    ablation = ABLATIONS["table-6"]
    outcomes = make_all(study, trials_of(ablation, 1))
    assert [outcome.arm for outcome in outcomes] == [arm.name for arm in ablation.arms]
    for arm, outcome in zip(ablation.arms, outcomes, strict=True):
        genotype = outcome.architecture
        assert genotype.space == arm.space(study.space)
        assert len(set(genotype.cells)) <= 2 or not arm.shared_cells
        assert outcome.predicted_us == pytest.approx(study.latencies.network_us(network_spec(genotype)))
        assert outcome.fps == pytest.approx(1e6 / outcome.predicted_us)
        assert outcome.miou is not None
        assert 0 <= outcome.miou <= 1
    text, table, everything, picture = write_tables(ablation, study, outcomes)
    assert picture.stat().st_size > 1000
    lines = text.read_text().splitlines()
    assert lines[0] == ablation.title
    assert [line.split("|")[1].strip() for line in lines[6:]] == [arm.label for arm in ablation.arms]
    for phrase in (
        "table of test cpu (pytorch fp32, batch 1, 1 thread) at 65×97",
        f"Searches on {study.data.root.name}: 2 steps of 2 crops of 33×49 with 1 channels, hard sampling",
        "2 steps of 2 crops of 33×49 of pictures at 65×97",
        "trained from scratch, no ImageNet pretraining",
        "Params, latency: 1 channels; mIoU: 1 channels",
        "± is the standard deviation over seeds",
    ):
        assert phrase in lines[2]
    with table.open(newline="") as file:
        records = list(csv.DictReader(file))
    assert [float(record["fps_mean"]) for record in records] == [outcome.fps for outcome in outcomes]
    assert [record["fps_sd"] for record in records] == [""] * len(outcomes), "one seed has no spread"
    content = json.loads(everything.read_text())
    assert content["table_digest"] == study.latencies.table.digest
    assert len(content["networks"]) == len(outcomes)


def test_random_networks_meet_the_floor(study: Study) -> None:
    fastest_us = RandomSearch(study.space, study.latencies).fastest_us
    floor = 1e6 / (1.3 * fastest_us)
    quick = ABLATIONS["table-7"].with_floor(floor)
    drawn = replace(quick, arms=tuple(untrained(arm) for arm in quick.arms if arm.drawn))
    outcomes = make_all(study, trials_of(drawn, 3))
    rows = {row.arm: row for row in rows_of(quick, outcomes)}
    assert rows["random-fast"].fps.mean >= floor > rows["random"].fps.mean
    assert all(outcome.fps >= floor for outcome in outcomes if outcome.arm == "random-fast")
    assert rows["random"].fps.deviation is not None


def test_random_networks_are_no_slower_than_what_they_are_compared_with(study: Study) -> None:
    compared = ABLATIONS["generated"]
    arms = tuple(untrained(arm) for arm in compared.arms if arm.name in ("found", "random"))
    outcomes = make_all(study, trials_of(replace(compared, arms=arms), 1))
    found_us, random_us = (
        [outcome.predicted_us for outcome in outcomes if outcome.arm == name] for name in ("found", "random")
    )
    assert max(random_us) <= min(found_us)
    assert len(random_us) >= 5
    assert len(found_us) == 3


def test_latencies_are_those_inside_a_network_where_the_table_knows_them(study: Study) -> None:
    table = study.latencies.table
    inside = replace(study, latencies=Latencies(table, make_calibration(table, study.space)))
    trial = Trial(untrained(ABLATIONS["table-7"].arms[0]), 0)
    outcome = make(inside, trial)
    network = network_spec(outcome.architecture)
    assert outcome.predicted_us == pytest.approx(inside.latencies.network_us(network))
    assert outcome.predicted_us != pytest.approx(study.latencies.network_us(network), rel=0.01)
    assert "12 measured ones" in settings(inside)
    with pytest.raises(CheckpointError, match="latencies"):
        make(study, trial)


def test_networks_are_trained_as_the_scale_says(study: Study) -> None:
    quick = SCALES["quick"]
    assert isinstance(quick.schedule.optimizer(nn.Linear(1, 1)), AdamW)
    assert quick.schedule.at(quick.train_steps - 1) < 1e-4 * quick.learning_rate
    assert (quick.loss, SCALES["paper"].loss) == (LOSSES["cross-entropy"], LOSSES["hard-examples"])
    paper = SCALES["paper"].schedule
    assert (isinstance(paper.optimizer(nn.Linear(1, 1)), SGD), paper.cosine) == (True, False)
    trial = Trial(ABLATIONS["table-7"].arms[0], 0)
    make(study, trial)
    by_adamw = replace(study, scale=study.scale.with_(adamw=True))
    assert "by AdamW" in settings(by_adamw)
    with pytest.raises(CheckpointError, match="adamw"):
        make(by_adamw, trial)


def untrained(arm: Arm) -> Arm:
    return replace(arm, trained=False)


def test_spread_is_over_seeds(study: Study) -> None:
    arm = untrained(ABLATIONS["table-7"].arms[0])
    ablation = Ablation("free", "Free", "Methods", (arm,), 1)
    (row,) = rows_of(ablation, make_all(study, trials_of(ablation, 4)))
    drawing = RandomSearch(study.space, study.latencies)
    spent = [study.latencies.network_us(network_spec(drawing.draw(seed))) / 1000 for seed in range(4)]
    mean = sum(spent) / 4
    assert row.latency_ms.mean == pytest.approx(mean)
    assert row.latency_ms.deviation == pytest.approx((sum((value - mean) ** 2 for value in spent) / 3) ** 0.5)
    assert row.miou_percent is None


@pytest.mark.process
def test_what_is_done_is_not_done_again(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while training: the search's result and the finished networks stay."""
    own = ABLATIONS["table-9"].arms[1]
    finished, stopped = Trial(own, 0), Trial(own, 1)
    straight = make_all(replace(study, out=study.out / "straight"), [finished, stopped])

    class Killed(Exception):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    (first,) = make_all(study, [finished])
    with monkeypatch.context() as patch:
        patch.setattr("lgcnet_search.training.phase.train", killed)
        with pytest.raises(Killed):
            make_all(study, [finished, stopped])
    at = study.folder(stopped)
    assert (at / "search.pt").exists()
    assert not (at / RESULT).exists()
    calls: list[tuple[str, str]] = []
    again = make_all(study, [finished, stopped], on_progress=lambda trial, stage, _: calls.append((str(trial), stage)))
    assert again[0] == first
    assert again == straight
    assert set(calls) == {("edges, seed 1", "training"), ("edges, seed 1", "evaluating")}
    assert not list(study.out.rglob("*.pt"))


def test_statistics_are_of_whole_training_images(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = seen_whole(monkeypatch, study.data.root, study.scale.input_size)
    make(study, Trial(ABLATIONS["table-7"].arms[0], 0))
    assert whole()


class Stopped(Exception):
    pass


BATCH = "2 images in an update there, .* 4 images in an update now"


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("searching", [({"search_batch": 4}, BATCH), ({"crop": (49, 49)}, r"proxy.height: 33 there, 49 now")]),
        (
            "training",
            [
                ({"train_batch": 4}, BATCH),
                ({"train_crop": (49, 49)}, "genotype: "),
                ({"train_channels": 2}, "genotype: "),
                ({"input_size": (97, 97)}, "input_size: 65x97 there, 97x97 now"),
            ],
        ),
    ],
)
def test_a_network_begun_at_another_scale_is_not_gone_on_with(
    study: Study, monkeypatch: pytest.MonkeyPatch, stage: str, changes: list[tuple[dict[str, object], str]]
) -> None:
    arm = ABLATIONS["table-9"].arms[1]
    monkeypatch.setattr(network, "SAVE_EVERY", 1)

    def stop(what: str, share: float) -> None:
        if (what, share) == (stage, 1.0):
            raise Stopped

    with pytest.raises(Stopped):
        make(study, Trial(arm, 0), on_progress=stop)
    for changed, message in changes:
        with pytest.raises(CheckpointError, match=message):
            make(replace(study, scale=study.scale.with_(**changed)), Trial(arm, 0))


def test_a_folder_of_another_run_is_refused(study: Study) -> None:
    arm = untrained(ABLATIONS["table-7"].arms[0])
    make(study, Trial(arm, 0))
    other = replace(study, scale=replace(study.scale, train_steps=7))
    with pytest.raises(CheckpointError, match=r"scale.train_steps: 2 there, 7 now"):
        make(other, Trial(arm, 0))
    path = study.folder(Trial(arm, 0)) / RESULT
    path.write_text(path.read_text()[:50])
    with pytest.raises(CheckpointError, match="is damaged"):
        make(study, Trial(arm, 0))


def test_a_floor_that_no_network_reaches_is_said(study: Study) -> None:
    with pytest.raises(TooFast, match="the fastest of this space take"):
        make(study, Trial(ABLATIONS["table-7"].arms[1], 0), Limits(1.0))


@pytest.mark.process
def test_several_at_once_give_the_same(study: Study, tmp_path: Path) -> None:
    arms = (untrained(ABLATIONS["table-6"].arms[0]), untrained(ABLATIONS["table-7"].arms[0]))
    trials = trials_of(Ablation("two", "Two", "Methods", arms, 1), 2)
    calls: list[str] = []
    alone = make_all(study, trials)
    at_once = make_all(
        replace(study, out=tmp_path / "two"),
        trials,
        engine=Engine(at_once=2),
        on_outcome=lambda trial, _: calls.append(str(trial)),
    )
    assert alone == at_once
    assert sorted(calls) == sorted(map(str, trials))


def test_the_comparison_writes_a_section(study: Study) -> None:
    compared = ABLATIONS["generated"]
    outcomes = [
        Outcome(
            arm=arm.name,
            seed=seed,
            genotype={},
            predicted_us=1e6 / (1 + arm.beta),
            batch_size=1,
            parameters=10,
            miou={"found": 0.3, "random": 0.25}.get(arm.name, 0.2) + 0.01 * seed if arm.trained else None,
            class_iou={},
        )
        for arm in compared.arms
        for seed in range(3)
    ]
    study.out.mkdir()
    section, picture = write_section(study, outcomes)
    text = section.read_text()
    assert "31.0 ± 1.0 against 26.0 ± 1.0 % mIoU, +5.0 points" in text
    assert "31.0 ± 1.0 against 21.0 ± 1.0 % mIoU" in text
    assert "ms, falling." in text
    assert picture.stat().st_size > 1000


def test_impossible_scales_are_refused(study: Study) -> None:
    for name, value in (("search_steps", 0), ("train_batch", 1), ("learning_rate", float("nan")), ("sampling", "firm")):
        with pytest.raises(ValueError, match=name):
            study.scale.with_(**{name: value})
    assert study.scale.with_(train_steps=None, search_steps=9) == replace(study.scale, search_steps=9)
    with pytest.raises(ValueError, match="seeds: 0"):
        trials_of(ABLATIONS["table-6"], 0)
