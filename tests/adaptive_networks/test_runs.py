"""The commands of systems that classify pixels: what a training leaves, and expectations of what is amortized."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from adaptive_networks.core.record import Record
from adaptive_networks.dance.train import TRAINING
from latency_tables.contract import DeviceSelector, JobRequest
from tests.adaptive_networks.test_commands import run
from tests.support import layouts, truth
from tests.support.factories import CPU, report
from tests.support.lut import Lut

STREAM = ["--frames", 8, "--start", 3, "--least", 2, "--most", 4, "--updates", 2, "--train-on", "cpu"]


@pytest.fixture(scope="module")
def camvid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.camvid(tmp_path_factory.mktemp("camvid"), 10)


@pytest.mark.process
def test_dance_leaves_what_an_image_costs_to_answer_and_to_train_on(
    camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["dance", "train", "--data", camvid, "--epochs", 4, "--train-on", "cpu", "--out", out]
    assert run(monkeypatch, *command) == 0
    answers, training = Record.load(out), Record.load(out / TRAINING)
    assert [point.series for point in answers.points] == ["plain", "data slimming", "both"]
    for found in (answers, training):
        assert len({path.label for path in found.paths}) == len(found.paths), "one can tell paths apart"
        assert found.metric == "mean IoU"
    assert all(sum(point.rates) == pytest.approx(1) for point in answers.points)
    plain, *slimmed = (sum(point.rates) for point in training.points)
    assert plain == pytest.approx(1)
    assert all(kept < 1 for kept in slimmed), "some images are left out"
    macs = [
        sum(rate * path.macs for rate, path in zip(point.rates, training.paths, strict=True))
        for point in training.points
    ]
    assert macs[0] > macs[1] > macs[2]
    assert set(torch.load(out / "weights.pt")) == {"plain", "data slimming", "both"}
    picture = np.asarray(Image.open(out / "complexity.png").convert("L"))
    assert (picture[:, :20] < 128).any()
    assert not (picture < 200)[:, -4:].any(), "the title is not cut off"
    assert "mean IoU" in capsys.readouterr().out
    assert run(monkeypatch, *command) == 2
    assert "another --out begins anew" in capsys.readouterr().err
    assert run(monkeypatch, *command[:-1], tmp_path / "other", "--channels", "1") == 2
    assert "channels: 1" in capsys.readouterr().err
    assert run(monkeypatch, *command[:-1], tmp_path / "other", "--lr", "1e12") == 2
    assert "lr: 1000000000000.0 is too large, weights are no longer finite" in capsys.readouterr().err
    assert run(monkeypatch, *command[:-1], tmp_path / "other", "--layout", "cityscapes") == 2
    assert "layout: cityscapes has 19 classes, the setting 11" in capsys.readouterr().err


@pytest.mark.process
def test_jitnet_follows_a_stream(
    camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, "jitnet", "train", "--data", camvid, *STREAM, "--out", out) == 0
    record = Record.load(out)
    assert [point.series for point in record.points] == [
        "adaptive",
        "adaptive",
        "fixed stride",
        "never taught",
        "teacher",
    ]
    assert list(record.points[3].rates) == [1, 0, 0]
    assert all(point.rates[0] == 1 and 0 < point.rates[1] <= 1 / 2 for point in record.points[:3])
    assert (out / "stream.png").stat().st_size > 10_000
    assert "mean IoU with the teacher" in capsys.readouterr().out


def test_a_network_given_as_a_file_teaches_on_a_folder_of_frames(
    camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, out = tmp_path / "teacher.pt2", tmp_path / "out"
    torch.export.save(torch.export.export(nn.Conv2d(3, 11, 1).eval(), (torch.zeros(1, 3, 192, 256),)), teacher)
    options = ["jitnet", "train", "--data", camvid / "test", *STREAM, "--out", out, "--teacher"]
    assert run(monkeypatch, *options, teacher) == 0
    assert len(Record.load(out).points) == 5
    assert run(monkeypatch, *options[:-2], tmp_path / "other", "--teacher", camvid / "test" / "0001TP_000000.png") == 2
    assert "is no program of torch.export" in capsys.readouterr().err
    for wrong, said in (
        (["--layout", "cityscapes"], "gives logits of (11, 192, 256), the stream takes (19, 192, 256)"),
        (["--setting", "camvid"], "takes no images of (360, 480): "),
    ):
        asked = ["--data", camvid / "test", *STREAM, "--out", tmp_path / "other", "--teacher", teacher]
        assert run(monkeypatch, "jitnet", "train", *asked, *wrong) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--data", "nowhere"], "data: nowhere is no folder"),
        (["--least", "9", "--most", "4"], "least: 9"),
        (["--frames", "8", "--start", "3", "--lr", "1e30"], "lr: 1e+30 is too large, weights are no longer finite"),
        (["--agreement", "0.5,much"], "agreement: 'much' is not a number"),
        (["--setting", "huge"], "setting: 'huge' is none of demo, streets"),
        (["--train-on", "gpu"], "train-on: 'gpu'"),
        (["--lr", "nan"], "lr: nan is not a finite number above 0"),
        (["--lr", "-0.1"], "lr: -0.1 is not a finite number above 0"),
        (["--seed", "-1"], "-1"),
        (["--teacher", "nowhere.pt2"], "teacher: nowhere.pt2 is no program of torch.export"),
    ],
)
def test_what_is_wrong_with_a_stream_is_said(
    wrong: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "jitnet", "train", *wrong, "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err


def test_a_stream_of_a_few_frames_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = layouts.camvid(tmp_path / "few", 3)
    assert run(monkeypatch, "jitnet", "train", "--data", few, *STREAM, "--out", tmp_path / "out") == 2
    assert "has 3 frames, a stream takes 4 at least" in capsys.readouterr().err


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--device", "nobody"], "device 'nobody': no device of this UUID or name"),
        (["--ceiling-ms", "0.8,-1"], "ceiling-ms: 0.8,-1 are not milliseconds above 0"),
        (["--mode", "fast"], "mode"),
        (["--budget", "0"], "--budget"),
    ],
)
def test_a_demo_says_what_is_wrong_before_it_trains(
    wrong: list[str],
    said: str,
    lut: Lut,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lut.client.register_device(report())
    assert run(monkeypatch, "jitnet", "demo", *wrong, "--server", lut.url, "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_amortized_is_expected_like_anything_else(
    camvid: Path, lut: Lut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A frame costs the student, and now and then the teacher and updates: rates that are no shares."""
    out = tmp_path / "out"
    assert run(monkeypatch, "jitnet", "train", "--data", camvid, *STREAM, "--out", out) == 0
    record = Record.load(out)
    record = record.model_copy(update={"points": record.points[:1]})
    record.save(out)
    path_us = dict(zip((path.network for path in record.paths), (1000.0, 20000.0, 3000.0), strict=True))
    rows = {
        item.operation.digest: us / sum(each.count for each in network.operations)
        for network, us in path_us.items()
        for item in network.operations
    }
    operations = tuple({item.operation: None for path in record.paths for item in path.network.operations})
    asked = {
        "device": DeviceSelector(),
        "runtime": CPU,
        "space": record.paths[0].network.space,
        "space_digest": record.paths[0].network.space_digest,
        "requirement": record.requirement,
    }
    truth.run(lut, report(), JobRequest.model_validate({**asked, "operations": operations}), rows)
    paths = tuple(path.network for path in record.paths)
    measured = {network.digest: us for network, us in path_us.items()}
    truth.run(lut, report(), JobRequest.model_validate({**asked, "networks": paths}), measured)
    capsys.readouterr()
    assert run(monkeypatch, "expect", out, "--server", lut.url, "--ceiling-ms", "30") == 0
    said = capsys.readouterr().out
    (chosen,) = json.loads((out / "expected.json").read_text())[0]["chosen"]
    _, asked_for, updates = record.points[0].rates
    assert chosen["measured_us"] == pytest.approx(1000 + 20000 * asked_for + 3000 * updates)
    assert chosen["expected_us"] == pytest.approx(chosen["measured_us"], rel=0.05)
    assert chosen["std_of_rates_us"] is None
    assert "from counting" not in said
    assert "mean IoU with the teacher" in said
