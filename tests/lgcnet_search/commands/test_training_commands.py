"""pretrain, finetune, evaluate and export on folders of the real layouts, and what they say to bad input."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lgcnet_search.space.genotype import random_genotype
from lgcnet_search.space.network import DerivedNetwork
from lgcnet_search.training.weights import Weights
from tests.support.commands import run
from tests.support.layouts import camvid, cityscapes, imagenet, seen_whole
from tests.support.tiny_spaces import TINY

pytestmark = pytest.mark.process

GENOTYPE = random_genotype(replace(TINY, classes=19), 6)
LIGHT = ["--batch", 2, "--workers", 0, "--train-on", "cpu", "--epochs", 1]


@pytest.fixture
def genotype(tmp_path: Path) -> Path:
    path = tmp_path / "genotype.json"
    path.write_text(GENOTYPE.to_json())
    return path


def finetuned(
    monkeypatch: pytest.MonkeyPatch, genotype: Path, data: Path, out: Path, *more: object, crop: str = "33x49"
) -> int:
    command = ["finetune", genotype, "--data", data, *LIGHT, "--crop", crop, "--out", out]
    return run(monkeypatch, *command, *more)


def test_the_way_from_imagenet_to_a_deployed_network(
    tmp_path: Path, genotype: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imagenet(tmp_path / "imagenet", ("cat", "dog", "owl"), 4)
    pre = tmp_path / "pre"
    command = ["pretrain", genotype, "--data", tmp_path / "imagenet", *LIGHT, "--side", 33, "--out", pre]
    assert run(monkeypatch, *command) == 0
    assert "of 12 images of 3 classes" in capsys.readouterr().out
    backbone = Weights.load(pre / "weights.pt")
    assert (backbone.part, backbone.genotype) == ("backbone", GENOTYPE)

    data, fine = cityscapes(tmp_path / "cityscapes"), tmp_path / "fine"
    cityscapes(data, ("train_extra",), "gtCoarse")
    more = ["--weights", pre / "weights.pt", "--coarse-epochs", 1]
    assert finetuned(monkeypatch, genotype, data, fine, *more) == 0
    output = capsys.readouterr().out
    history = json.loads((fine / "history.json").read_text())
    assert [len(history[phase]) for phase in ("coarse", "finetuning")] == [2, 2]
    scores = json.loads((fine / "scores.json").read_text())
    assert f"mIoU {scores['miou']:.2%} on 4 images of val" in output
    for name, iou in scores["iou"].items():
        shown = rf"absent:[^:]*\b{name}\b" if iou is None else rf"{name} +{100 * iou:.1f} "
        assert re.search(shown, output), name

    evaluated = tmp_path / "seen"
    command = ["evaluate", fine / "weights.pt", "--data", data, "--workers", 0, "--pictures", 2, "--label-files"]
    assert run(monkeypatch, *command, "--out", evaluated) == 0
    assert json.loads((evaluated / "scores.json").read_text()) == scores
    assert (evaluated / "predictions.png").stat().st_size > 10_000
    written = np.asarray(Image.open(evaluated / "labels" / "town_000003_000019_leftImg8bit.png"))
    assert written.shape == (64, 96)
    assert set(np.unique(written)) <= set(range(7, 34))

    deployed = tmp_path / "deployed"
    assert run(monkeypatch, "export", fine / "weights.pt", "--no-onnx", "--out", deployed) == 0
    assert run(monkeypatch, "evaluate", deployed / "network.pt", *command[2:], "--out", evaluated) == 0
    again = json.loads((evaluated / "scores.json").read_text())
    assert again["miou"] == pytest.approx(scores["miou"], abs=0.01)


def test_a_network_found_on_cityscapes_is_transferred_to_camvid(
    tmp_path: Path, genotype: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = camvid(tmp_path / "camvid"), tmp_path / "cityscapes.pt"
    Weights(GENOTYPE, Weights.load(_fresh(tmp_path)).state).save(weights)
    out = tmp_path / "out"
    more = ["--layout", "camvid", "--size", "65x97", "--split", "trainval", "--weights", weights]
    assert finetuned(monkeypatch, genotype, data, out, *more, crop="65x97") == 0
    assert "on 4 images of test" in capsys.readouterr().out
    assert len(json.loads((out / "history.json").read_text())["finetuning"]) == 4
    transferred = Weights.load(out / "weights.pt").genotype
    assert transferred.choices == GENOTYPE.choices
    assert transferred.space == replace(GENOTYPE.space, classes=11)
    command = ["evaluate", out / "weights.pt", "--layout", "camvid", "--data", data, "--workers", 0, "--split", "test"]
    assert run(monkeypatch, *command, "--pictures", 0, "--out", tmp_path) == 0
    assert run(monkeypatch, *command[:2], "--data", cityscapes(tmp_path / "other"), "--out", tmp_path) == 2
    assert "layout: cityscapes has 19 classes, the network 11" in capsys.readouterr().err


def test_images_that_were_trained_on_are_no_validation(
    tmp_path: Path, genotype: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = cityscapes(tmp_path / "cityscapes"), tmp_path / "out"
    assert finetuned(monkeypatch, genotype, data, out, "--split", "trainval") == 0
    assert "on 4 images of val (trained on)" in capsys.readouterr().out
    scores = json.loads((out / "scores.json").read_text())
    assert scores["data"] == f"{data} val (trained on)"
    assert scores["trained_on"] is True


def test_statistics_are_of_whole_training_images(
    tmp_path: Path, genotype: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = cityscapes(tmp_path / "cityscapes")
    whole = seen_whole(monkeypatch, data, (65, 97))
    assert finetuned(monkeypatch, genotype, data, tmp_path / "out") == 0
    assert whole()


def _fresh(folder: Path) -> Path:
    path = folder / "fresh.pt"
    Weights(GENOTYPE, DerivedNetwork(GENOTYPE).state_dict()).save(path)
    return path


def test_a_killed_training_ends_with_the_weights_it_would_have_had(
    tmp_path: Path, genotype: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, killed, whole = cityscapes(tmp_path / "cityscapes"), tmp_path / "killed", tmp_path / "whole"
    often = ["--epochs", 8, "--save-every", 1]
    arguments = ["finetune", genotype, "--data", data, *LIGHT, "--crop", "33x49", "--out", killed, *often]
    command = [sys.executable, "-m", "lgcnet_search", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not (killed / "finetune.pt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (killed / "weights.pt").exists()
    assert finetuned(monkeypatch, genotype, data, killed, *often) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert finetuned(monkeypatch, genotype, data, killed, *often, "--resume") == 0
    assert finetuned(monkeypatch, genotype, data, whole, *often) == 0
    resumed, expected = (Weights.load(folder / "weights.pt").state for folder in (killed, whole))
    for name, value in expected.items():
        assert torch.equal(resumed[name], value), name


def test_processes_share_training_and_evaluation(
    tmp_path: Path, genotype: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = cityscapes(tmp_path / "cityscapes", count=5), tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    arguments = ["lgcnet_search", "finetune", genotype, "--data", data, *LIGHT, "--batch", 4, "--epochs", 4]
    command = [*torchrun, *map(str, arguments), "--out", str(out)]
    subprocess.run(command, check=True, timeout=600, capture_output=True)
    scores = json.loads((out / "scores.json").read_text())
    assert scores["images"] == 5
    assert len(json.loads((out / "history.json").read_text())["finetuning"]) == 5
    alone = ["evaluate", out / "weights.pt", "--data", data, "--workers", 0, "--pictures", 0, "--out", tmp_path]
    assert run(monkeypatch, *alone) == 0
    assert json.loads((tmp_path / "scores.json").read_text()) == scores


def test_bad_input_is_named_with_the_way_out(
    tmp_path: Path, genotype: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = cityscapes(tmp_path / "cityscapes"), tmp_path / "out"
    fresh = _fresh(tmp_path)

    def refused(*arguments: object) -> str:
        assert run(monkeypatch, *arguments) == 2
        output: str = capsys.readouterr().err.strip().splitlines()[-1]  # behind the progress of what had begun
        return output

    def fine(*more: object) -> str:
        return refused("finetune", genotype, "--data", data, *LIGHT, "--crop", "33x49", "--out", out, *more)

    assert "nowhere does not exist" in fine("--data", tmp_path / "nowhere")
    assert "train_extra" in fine("--coarse-epochs", 1)
    assert "CamVid" in fine("--layout", "camvid", "--data", camvid(tmp_path / "camvid"), "--coarse-epochs", 1)
    assert "'kitti' is not one of 'cityscapes', 'camvid'" in fine("--layout", "kitti")
    assert "'test' is not one of 'train', 'trainval'" in fine("--split", "test")
    assert "'fp8' is not one of 'none', 'bf16', 'fp16'" in fine("--amp", "fp8")
    assert "'plain' is not one of 'hard-examples', 'cross-entropy'" in fine("--loss", "plain")
    assert "crop: '33' is not a size" in fine("--crop", "33")
    assert "height: 8 is not" in fine("--crop", "8x49")
    assert "learning_rate: -1.0 is not" in fine("--lr", -1)
    assert "batch: 3 images in 2 parts" in fine("--batch", 3, "--accumulate", 2)
    assert "name a folder in --data" in fine("--data", "generated", "--layout", "camvid")
    assert "no folder" in refused("pretrain", genotype, "--data", data, "--out", out)

    other = random_genotype(GENOTYPE.space, 7)
    genotype.write_text(other.to_json())
    assert "weights: they are of another genotype" in fine("--weights", fresh)
    genotype.write_text(GENOTYPE.to_json())
    (tmp_path / "damaged.pt").write_bytes(fresh.read_bytes()[:-999])
    assert "damaged.pt is damaged" in fine("--weights", tmp_path / "damaged.pt")
    assert "damaged.pt is damaged" in refused("evaluate", tmp_path / "damaged.pt")
    assert "damaged.pt is damaged" in refused("export", tmp_path / "damaged.pt")
    for more in (["evaluate", fresh, "--data", data], ["export", fresh]):
        assert "size: height: 16 is not" in refused(*more, "--size", "16x16", "--out", tmp_path)
    small = imagenet(tmp_path / "imagenet", ("cat", "dog"), 1)
    assert len(small) == 2
    command = ["pretrain", genotype, "--data", tmp_path / "imagenet", *LIGHT]
    assert "side: height: 20000 is not" in refused(*command, "--side", 20000, "--out", out)
    assert "nothing.pt" in refused("export", tmp_path / "nothing.pt")
    assert "'all' is not one of 'train', 'val', 'test'" in refused("evaluate", fresh, "--split", "all")

    (out / "finetune.pt").write_bytes(b"half")
    assert "finetune.pt is damaged" in fine("--resume")

    label = data / "gtFine" / "val" / "town" / "town_000001_000019_gtFine_labelIds.png"
    Image.fromarray(np.zeros((9, 9), dtype=np.uint8)).save(label)
    message = refused("evaluate", fresh, "--data", data, "--workers", 0, "--out", tmp_path)
    assert f"label {label} is 9×9" in message
