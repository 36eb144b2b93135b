"""lgcnet-search search against a real server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lgcnet_search.space.genotype import Genotype, random_genotype
from lgcnet_search.space.network import network_spec
from tests.support.commands import PROFILE, SIZE, SPACE, run

pytestmark = pytest.mark.process


def test_profile_search_and_measure(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    at = ["--server", server, "--device", "test cpu"]
    assert run(monkeypatch, "profile", *at, *SIZE) == 0
    output = capsys.readouterr().out
    assert (
        f"65×97, pytorch fp32, batch 1, 1 thread on Test CPU: {len(SPACE.operations)} operations, 0 of them doubtful"
        in output
    )
    lines = output.splitlines()
    table = lines[0].split()[-1]
    assert "calibrated by 8 networks" in lines[1]
    assert "(raw sum: 9.1%)" in lines[1]

    out = tmp_path / "found"
    light = ["--steps", 2, "--crop", "33x65", "--batch", 2, "--images", 2, "--workers", 0, "--train-on", "cpu"]
    assert run(monkeypatch, "search", *at, *SIZE, *light, "--proxy-channels", 2, "--table", table, "--out", out) == 0
    genotype = Genotype.from_json((out / "genotype.json").read_text())
    assert genotype.space == SPACE
    executed = sum(counted.count for counted in network_spec(genotype).operations)
    history = json.loads((out / "history.json").read_text())
    assert history["table_id"] == table
    assert history["predicted_us"] == pytest.approx(11.0 * executed, rel=0.02), "as inside a network"
    assert history["proxy"]["channels"] == 2
    assert len(history["history"]) == 2
    assert {path.name for path in out.glob("*.png")} == {"cells.png", "fusion.png", "search.png", "table.png"}

    assert any((out / "tensorboard").iterdir())
    alone = tmp_path / "alone"
    isolated = [*light, "--proxy-channels", 2, "--isolated", "--out", alone]
    assert run(monkeypatch, "search", *at, *SIZE, *isolated) == 0
    counts = network_spec(Genotype.from_json((alone / "genotype.json").read_text())).operations
    predicted_us = json.loads((alone / "history.json").read_text())["predicted_us"]
    assert predicted_us == pytest.approx(10.0 * sum(counted.count for counted in counts))
    again = ["search", *at, *SIZE, *light, "--proxy-channels", 2, "--table", table, "--out", out]
    assert run(monkeypatch, *again) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert run(monkeypatch, *again, "--resume", "--beta", 0.1) == 2
    assert "settings.beta: 0.005 there, 0.1 now" in capsys.readouterr().err.replace("\n", " ")
    assert run(monkeypatch, *again, "--resume") == 0
    assert json.loads((out / "history.json").read_text()) == history

    capsys.readouterr()
    assert run(monkeypatch, "measure", out / "genotype.json", *at) == 0
    output = capsys.readouterr().out
    assert f"{11e-3 * executed:.2f} ms on Test CPU" in output
    assert f"{1e6 / 11 / executed:.1f} FPS" in output
    assert f"{10e-3 * executed:.2f} ms by table {table} (-9.1% of the quiet speed)" in output
    assert "ms inside a network (90 %: " in output

    other = random_genotype(SPACE, 9)
    (tmp_path / "other.json").write_text(other.to_json())
    assert run(monkeypatch, "measure", out / "genotype.json", tmp_path / "other.json", *at) == 0
    first, second = capsys.readouterr().out.split(str(tmp_path / "other.json"))
    assert first.startswith(str(out / "genotype.json"))
    assert f"{11e-3 * executed:.2f} ms on Test CPU" in first
    assert f"{11e-3 * sum(item.count for item in network_spec(other).operations):.2f} ms on Test CPU" in second


def test_a_search_keeps_under_a_ceiling(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    at = ["--server", server]
    light = ["--steps", 1, "--crop", "33x65", "--batch", 2, "--images", 2, "--workers", 0, "--train-on", "cpu"]
    command = ["search", *at, *SIZE, *light, "--proxy-channels", 2]
    assert run(monkeypatch, "profile", *at, *SIZE) == 0
    assert run(monkeypatch, *command, "--out", tmp_path / "free") == 0
    free_us = json.loads((tmp_path / "free" / "history.json").read_text())["predicted_us"]
    ceiling = ["--ceiling-ms", 0.8e-3 * free_us, "--quantile", 0.95]
    assert run(monkeypatch, *command, "--out", tmp_path / "fast", *ceiling) == 0
    assert json.loads((tmp_path / "fast" / "history.json").read_text())["predicted_us"] < 0.8 * free_us
    capsys.readouterr()
    assert run(monkeypatch, *command, "--out", tmp_path / "none", "--ceiling-ms", 1e-6) == 2
    assert "raise the ceiling" in capsys.readouterr().err.replace("\n", " ")
    assert run(monkeypatch, *command, "--out", tmp_path / "unsure", "--isolated", *ceiling) == 2
    assert "needs a calibration" in capsys.readouterr().err.replace("\n", " ")


def test_several_targets_are_searched_by_several_processes(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    at = ["--server", server, "--device", "Test CPU"]
    assert run(monkeypatch, *PROFILE, *at, *SIZE) == 0
    capsys.readouterr()
    out = tmp_path / "found"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    light = ["--steps", 1, "--crop", "33x65", "--batch", 4, "--images", 2, "--workers", 0, "--train-on", "cpu"]
    options = ["--sampling", "hard", "--proxy-channels", 1, "--beta", "0.001,0.02", "--isolated", "--out", out]
    command = [*torchrun, "lgcnet_search", "search", *at, *SIZE, *light, *options]
    subprocess.run(list(map(str, command)), check=True, timeout=600)
    summary = json.loads((out / "summary.json").read_text())
    assert [line["beta"] for line in summary] == [0.001, 0.02]
    for line, name in zip(summary, ("test-cpu-beta0.001", "test-cpu-beta0.02"), strict=True):
        assert line["folder"] == str(out / name)
        genotype = Genotype.from_json((out / name / "genotype.json").read_text())
        executed = sum(counted.count for counted in network_spec(genotype).operations)
        assert line["predicted_us"] == pytest.approx(10.0 * executed)


def test_a_table_that_lacks_rows_is_named_before_data_are_made(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run(monkeypatch, *PROFILE, "--server", server, *SIZE) == 0
    table = capsys.readouterr().out.split()[-1]
    bigger = ["--height", "97", "--width", "129", "--channels", "1"]
    assert run(monkeypatch, "search", "--server", server, *bigger, "--table", table) == 2
    message = capsys.readouterr().err.strip()
    assert "is of input size 65×97, not of 97×129; profile this size" in message
    assert not list((tmp_path / "cache").glob("lgcnet/street-scenes*"))


def test_a_missing_data_folder_is_named(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *PROFILE, "--server", server, *SIZE) == 0
    missing = tmp_path / "cityscapes"
    assert run(monkeypatch, "search", "--server", server, *SIZE, "--data", missing, "--out", tmp_path) == 2
    assert f"{missing} does not exist" in capsys.readouterr().err
    other = [*SIZE, "--classes", "11"]
    assert run(monkeypatch, *PROFILE, "--server", server, *other) == 0
    assert run(monkeypatch, "search", "--server", server, *other, "--data", missing, "--out", tmp_path) == 2
    assert "classes: 11 in the space, Cityscapes has 19" in capsys.readouterr().err
