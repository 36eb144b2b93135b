"""profile, calibrate, measure and draw against a real server."""

import json
import re
from pathlib import Path
from uuid import UUID

import pytest

from latency_tables.client import LutClient
from lgcnet_search.jobs import AgentError, find_device
from lgcnet_search.space.genotype import random_genotype
from lgcnet_search.space.network import DerivedNetwork, network_spec
from lgcnet_search.space.space import Space
from lgcnet_search.training.weights import Weights
from tests.support.commands import AGENT, PROFILE, SIZE, SPACE, run

pytestmark = pytest.mark.process


def test_a_table_is_calibrated_afterwards_and_by_more_networks(
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    size = ["--height", 97, "--width", 65, "--channels", 1, "--classes", 4]
    assert run(monkeypatch, "profile", "--server", server, *size, "--calibrate", 0) == 0
    table = capsys.readouterr().out.split()[-1]
    for networks in (4, 12):
        assert run(monkeypatch, "calibrate", "--server", server, *size, "--networks", networks) == 0
        assert f"table {table}: calibrated by" in capsys.readouterr().out
    with LutClient(server) as client:
        calibration = client.calibration(UUID(table))
        assert calibration.card.networks >= 12
        assert calibration.card.calibrated.mape < 0.01 < calibration.card.raw.mape
        assert calibration == client.stored_calibration(calibration.id)
        known = calibration.card.networks

    until = ["--target-mape", 0.00001, "--networks", known + 2]
    assert run(monkeypatch, "calibrate", "--server", server, *size, *until) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4, "what is known, two networks more, and the card"
    for more, line in enumerate(lines[:3]):
        assert re.match(rf"{known + more} networks: mean error [\d.]+%.*; expected of others [\d.]+%$", line)
    assert f"table {table}: calibrated by {known + 2} networks" in lines[-1]
    assert lines[-1].endswith(f"; {known + 2} networks are measured")
    assert run(monkeypatch, "calibrate", "--server", server, *size, "--target-mape", 0.5, "--networks", 40) == 0
    assert capsys.readouterr().out.endswith("the target of 50.00% is reached\n")


def test_a_runtime_without_a_table_is_introduced_and_searched_for(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two threads are another device: known by a few networks and the table of one thread."""
    assert run(monkeypatch, "profile", "--server", server, *SIZE) == 0
    two = ["--server", server, *SIZE, "--threads", 2]
    capsys.readouterr()
    assert run(monkeypatch, "introduce", *two, "--networks", 2) == 2
    assert "networks: 2 given, a device is learned from 3 to 200" in capsys.readouterr().err
    assert run(monkeypatch, "introduce", *two, "--networks", 8) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == " 1 network: too few to say anything"
    assert "too few to say how far predictions are off" in lines[2]
    assert " 8 networks: " in lines[7]
    assert "each predicted from the others within" in lines[7]
    assert "Test CPU, pytorch fp32, batch 1, 2 threads, with the help of Test CPU, pytorch fp32" in lines[8]

    light = ["--steps", 1, "--crop", "33x65", "--batch", 2, "--images", 2, "--workers", 0, "--train-on", "cpu"]
    search = ["search", *two, *light, "--proxy-channels", 2, "--out", tmp_path, "--transfer"]
    assert run(monkeypatch, *search, "--ceiling-ms", 2) == 0
    history = json.loads((tmp_path / "history.json").read_text())
    assert (history["transfer_id"], "table_id" in history) == (lines[8].split()[1].rstrip(":"), False)
    assert history["predicted_us"] < 2000
    assert history["settings"]["quantile"] == 0.95, "the upper end of its interval"
    assert not (tmp_path / "table.png").exists()
    assert run(monkeypatch, *search, "--isolated") == 2
    assert "a transfer has no table" in capsys.readouterr().err


def test_a_sweep_makes_a_table_of_each_combination_and_measures_shared_shapes_once(
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes = [(161, 225), (162, 226)]
    spaces = [Space(height=height, width=width, channels=1) for height, width in sizes]
    size_options = [option for height, width in sizes for option in ("--size", f"{height}x{width}")]
    swept = [*size_options, "--mode", "pytorch", "--mode", "onnxruntime", "--batch-size", 1, "--batch-size", 2]
    assert run(monkeypatch, *PROFILE, "--server", server, "--channels", "1", *swept) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" on ")[0] for line in lines] == [
        f"{height}×{width}, {mode} fp32, batch {batch}, 1 thread"
        for mode in ("pytorch", "onnxruntime")
        for batch in (1, 2)
        for height, width in sizes
    ]
    with LutClient(server) as client:
        tables = [client.table(UUID(line.split()[-1])) for line in lines]
        jobs = {job.table_id: job for job in client.jobs("done")}
        measured = [len(client.measurements(job_id=jobs[table.id].id)) for table in tables]
    for table in tables:
        table.require(spaces[tables.index(table) % 2].operations)
    first, second = ({operation.digest for operation in space.operations} for space in spaces)
    assert first & second, "odd and even sizes meet at half their resolution"
    assert measured == [len(first), len(second - first)] * 4


def test_pictures_of_network_table_accuracy_and_predictions(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = ["--server", server, "--device", "Test CPU", "--out", tmp_path]
    assert run(monkeypatch, *PROFILE, *at[:4], *SIZE) == 0
    for seed, folder in enumerate((tmp_path / "first", tmp_path / "second")):
        genotype = random_genotype(SPACE, 100 + seed)
        folder.mkdir()
        (folder / "genotype.json").write_text(genotype.to_json())
        (folder / "scores.json").write_text(json.dumps({"miou": 0.5 + seed / 10, "trained_on": seed == 1}))
        Weights(genotype, DerivedNetwork(genotype).state_dict()).save(folder / "weights.pt")
    assert run(monkeypatch, "draw", "network", tmp_path / "first" / "genotype.json", "--out", tmp_path) == 0
    assert run(monkeypatch, "draw", "table", *at) == 0
    assert run(monkeypatch, "measure", tmp_path / "first" / "genotype.json", *at[:4]) == 0
    capsys.readouterr()
    assert run(monkeypatch, "draw", "accuracy", tmp_path / "first", tmp_path / "second", *at) == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    executed = [
        sum(counted.count for counted in network_spec(random_genotype(SPACE, seed)).operations) for seed in (100, 101)
    ]
    assert first.endswith(f"50.00 % at {11e-3 * executed[0]:.2f} ms, measured")
    assert "60.00 % (trained on) at " in second
    assert second.endswith(" ms, predicted")
    # By sum, or calibrated where other tests had enough networks measured.
    assert 9e-3 * executed[1] < float(second.split()[-3]) < 12e-3 * executed[1]
    assert run(monkeypatch, "draw", "predictions", *at) == 0
    drawn = {"cells.png", "fusion.png", "table.png", "accuracy.png", "predictions.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == drawn

    (tmp_path / "second" / "scores.json").write_text("{}")
    assert run(monkeypatch, "draw", "accuracy", tmp_path / "second", *at) == 2
    assert "holds no mIoU" in capsys.readouterr().err
    assert run(monkeypatch, "draw", "predictions", *at, "--threads", 3) == 2
    assert "run lgcnet-search profile and measure" in capsys.readouterr().err


def test_devices_go_by_uuid_or_name(server: str) -> None:
    with LutClient(server) as client:
        assert find_device(client) == find_device(client, "TEST CPU") == find_device(client, "cpu-7") == AGENT.device
        with pytest.raises(AgentError, match=r"Test CPU \(cpu-7\)"):
            find_device(client, "GPU-1")
