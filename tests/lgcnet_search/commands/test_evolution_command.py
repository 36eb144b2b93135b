"""lgcnet-search search --method evolution against a real server; a cluster and its limits on the command line."""

import json
from pathlib import Path

import pytest

from lgcnet_search.space.genotype import Genotype
from tests.support.commands import PROFILE, SIZE, run

pytestmark = pytest.mark.process


def test_networks_evolve_under_a_ceiling(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run(monkeypatch, *PROFILE, "--server", server, *SIZE) == 0
    out = tmp_path / "found"
    light = ["--steps", 2, "--crop", "33x65", "--batch", 2, "--images", 6, "--workers", 0, "--train-on", "cpu"]
    evolution = ["--method", "evolution", "--generations", 2, "--population", 3, "--proxy-channels", 1]
    command = ["search", "--server", server, *SIZE, *light, *evolution, "--isolated"]
    assert run(monkeypatch, *command, "--ceiling-ms", 1e-6, "--out", tmp_path / "none") == 2
    assert "is too low" in capsys.readouterr().err.replace("\n", " ")
    assert run(monkeypatch, *command, "--ceiling-ms", 2.2, "--out", out) == 0
    output = capsys.readouterr().out
    assert "the best of 6 networks" in output
    assert "different candidates a cell; faster than" in output
    history = json.loads((out / "history.json").read_text())
    networks = history["history"]
    assert len(networks) == 6
    assert all(network["predicted_us"] <= 2200 for network in networks)
    assert history["inherited_miou"] == max(network["miou"] for network in networks)
    genotype = Genotype.from_json((out / "genotype.json").read_text())
    assert [list(cell) for cell in genotype.cells] in [network["cells"] for network in networks]
    assert {path.name for path in out.glob("*.png")} == {"cells.png", "fusion.png", "evolution.png", "table.png"}

    assert run(monkeypatch, *command, "--ceiling-ms", 2.2, "--out", out) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert run(monkeypatch, *command, "--ceiling-ms", 2.2, "--out", out, "--resume") == 0
    assert json.loads((out / "history.json").read_text()) == history
    clustered = [*command, "--out", tmp_path / "there", "--cluster", "tcp://127.0.0.1:9", "--at-once", 2]
    assert run(monkeypatch, *clustered) == 2
    assert "cluster: its workers make a network each" in capsys.readouterr().err.replace("\n", " ")
