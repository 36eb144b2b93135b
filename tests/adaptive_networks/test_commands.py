"""adaptive-networks in this process: training on class folders, and expectations by a real server."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adaptive_networks.__main__ import SYSTEMS, main
from adaptive_networks.core.images import Judged, PaddedCrop, read_images
from adaptive_networks.core.record import FILE, Record, points_of, rated_paths
from adaptive_networks.ranet.plugin import space as plugin
from adaptive_networks.ranet.space import SETTINGS
from latency_tables.contract import DeviceSelector, JobRequest
from lgcnet_search.data.errors import DataError
from tests.support import truth
from tests.support.factories import CPU, report
from tests.support.lut import Lut

CLASSES = 10
OF_PIXELS = {"dance", "jitnet"}
"""Systems that take no class folders: test_runs.py has their commands."""
LIGHT = ["--images", 32, "--held-out", 24, "--test", 20, "--epochs", 2, "--batch", 16, "--workers", 0]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["adaptive-networks", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of noise: 60 images to train on, 20 to test with."""
    root = tmp_path_factory.mktemp("classes")
    generator = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for number in range(CLASSES):
            there = root / split / f"class{number}"
            there.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(there / f"{index}.png")
    return root


@pytest.mark.process
@pytest.mark.parametrize("system", sorted(SYSTEMS.keys() - OF_PIXELS))
def test_a_training_leaves_weights_and_rates(
    system: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare = ["--compare"] if system in ("ddnn", "basisnet") else []
    assert run(monkeypatch, system, "train", "--data", folder, *LIGHT, "--out", tmp_path, *compare) == 0
    record = Record.load(tmp_path)
    assert (record.system, record.setting, record.held_out, record.test) == (system, "demo", 24, 20)
    for point in record.points:
        assert sum(point.rates) == pytest.approx(1)
        assert sum(point.test_rates) == pytest.approx(1)
    assert (tmp_path / "weights.pt").stat().st_size > 10_000
    assert str(tmp_path / FILE) in capsys.readouterr().out
    assert run(monkeypatch, system, "train", "--data", folder, *LIGHT, "--out", tmp_path, *compare) == 2
    assert "--resume goes on with it" in capsys.readouterr().err


@pytest.fixture
def trained(tmp_path: Path) -> Record:
    """What a training writes, of exits that are right the more often the later."""
    generator = np.random.default_rng(0)
    confidence = generator.random((3, 400))
    correct = generator.random((3, 400)) < np.array([[0.4], [0.6], [0.8]]) * (0.6 + 0.6 * confidence)
    judged = Judged(confidence, correct)
    record = Record(
        system=plugin.name,
        setting="demo",
        requirement=plugin.requirement,
        held_out=400,
        test=400,
        paths=tuple(rated_paths(plugin, SETTINGS["demo"], ["exit 1", "exit 2", "exit 3"])),
        points=tuple(points_of(judged, judged)),
    )
    record.save(tmp_path)
    return Record.load(tmp_path)


def request(record: Record, *, paths: bool) -> JobRequest:
    networks = tuple(path.network for path in record.paths)
    operations = tuple(dict.fromkeys(item.operation for network in networks for item in network.operations))
    return JobRequest(
        device=DeviceSelector(),
        runtime=CPU,
        space=plugin.name,
        space_digest=plugin.digest,
        requirement=plugin.requirement,
        networks=networks if paths else (),
        operations=() if paths else operations,
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_thresholds_are_chosen_under_ceilings_and_shown(
    trained: Record, lut: Lut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows_us = {
        item.operation.digest: 10.0 + len(item.operation.name)
        for path in trained.paths
        for item in path.network.operations
    }
    sums_us = [
        sum(item.count * rows_us[item.operation.digest] for item in path.network.operations) for path in trained.paths
    ]
    truth.run(lut, report(), request(trained, paths=False), rows_us)
    inside_us = {path.network.digest: 0.9 * us for path, us in zip(trained.paths, sums_us, strict=True)}
    truth.run(lut, report(), request(trained, paths=True), inside_us)
    least_us, most_us = min(inside_us.values()), max(inside_us.values())
    ceiling_ms = (0.4 * least_us + 0.6 * most_us) / 1000
    ceilings = f"{ceiling_ms},{least_us / 4000}"
    assert run(monkeypatch, "expect", tmp_path, "--server", lut.url, "--ceiling-ms", ceilings) == 0
    out = capsys.readouterr().out
    assert re.search(rf"ceiling: {least_us / 4000:.6g} ms is too low: .* ms, of one exit, exit 1\n", out)
    (found,) = json.loads((tmp_path / "expected.json").read_text())
    (chosen,) = found["chosen"]
    assert chosen["expected_us"] <= 1000 * ceiling_ms * 1.001
    assert chosen["expected_us"] == pytest.approx(chosen["measured_us"], rel=0.03)
    assert chosen["low_us"] < chosen["measured_us"] < chosen["high_us"]
    assert 0 < chosen["std_of_rates_us"] < 0.1 * chosen["expected_us"]
    assert chosen["by_macs"] is not None
    assert (tmp_path / "expected.png").stat().st_size > 10_000
    (address,) = re.findall(r"http\S+/expectation\?\S+", out)
    page = lut.http.get(address.removeprefix(lut.url))
    assert page.status_code == 200
    assert "in the mean" in page.text
    assert "of inputs take a path that stays within" in page.text
    trained.model_copy(update={"ceilings_us": (least_us / 4,)}).save(tmp_path)
    assert run(monkeypatch, "expect", tmp_path, "--server", lut.url) == 0
    assert "exit 1; demo --resume searches again, under any --ceiling-ms" in capsys.readouterr().out


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_a_table_it_is_said_how_to_get_one(
    lut: Lut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lut.client.register_device(report())
    assert run(monkeypatch, "expect", tmp_path, "--server", lut.url) == 2
    assert "no table of Xeon for ranet" in capsys.readouterr().err
    assert run(monkeypatch, "expect", tmp_path, "--server", lut.url, "--ceiling-ms", "-1") == 2
    assert "ceiling-ms: -1 are not milliseconds above 0" in capsys.readouterr().err
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text().replace('"rates": [', '"rates": [0.5,', 1))
    assert run(monkeypatch, "expect", tmp_path, "--server", lut.url) == 2
    assert "train again" in capsys.readouterr().err


def test_the_parts_of_a_folder_share_no_image(folder: Path) -> None:
    images = read_images(folder, 32, 30, 20, 10, seed=0)
    train, held_out = (
        {part.images.files[index][0] for index in part.indices} for part in (images.train, images.held_out)
    )
    assert (len(train), len(held_out), len(images.test)) == (30, 20, 10)
    assert not train & held_out
    assert images.classes == CLASSES
    image, target = images.train[0, 3]
    assert image.shape == (3, 32, 32)
    assert 0 <= target < CLASSES
    with pytest.raises(DataError, match="has 60 images; --images 50 and --held-out 20 take more"):
        read_images(folder, 32, 50, 20, 10, seed=0)
    with pytest.raises(DataError, match="has 20 images, fewer than --test 21"):
        read_images(folder, 32, 30, 20, 21, seed=0)


def test_a_folder_of_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "1.png").write_text("no image")
    for name in ("1.png", "2.png"):
        (tmp_path / "test" / "cat").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "test" / "cat" / name)
    assert run(monkeypatch, "ranet", "train", "--data", tmp_path, *LIGHT, "--out", tmp_path / "out") == 2
    assert "--images 32 and --held-out 24 take more" in capsys.readouterr().err
    assert run(monkeypatch, "ranet", "train", "--data", tmp_path, "--setting", "huge") == 2
    assert "setting: 'huge' is none of demo, cifar10" in capsys.readouterr().err


def test_images_that_are_none_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    for file in (broken / "train").glob("*/*"):
        file.write_text("no image")
    assert run(monkeypatch, "ddnn", "train", "--data", broken, *LIGHT, "--out", tmp_path / "out") == 2
    assert re.search(r"train/class\d/\d\.png cannot be read as a picture", capsys.readouterr().err)


def test_a_padded_crop_moves_the_picture() -> None:
    picture = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).convert("RGB")
    rule, seen = PaddedCrop((8, 8), 2), set()
    for seed in range(40):
        view = rule.view((8, 8), np.random.default_rng(seed))
        cut = view.image(picture)
        assert cut.size == (8, 8)
        height, width = view.size
        assert height in (6, 7, 8)
        assert width in (6, 7, 8)
        seen.add((view.at, view.flip, view.box))
        top, left = view.at
        inside = np.asarray(cut)[top : top + height, left : left + width, 0]
        x, y = int(view.box[0]), int(view.box[1])
        expected = np.asarray(picture)[y : y + height, x : x + width, 0]
        assert (inside == (expected[:, ::-1] if view.flip else expected)).all()
    assert len(seen) > 20
