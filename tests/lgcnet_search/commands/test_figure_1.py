"""figure-1 and modules of one's own, against a real server."""

from pathlib import Path

import pytest

from latency_tables.client import LutClient
from lgcnet_search.commands.figure_1 import PAPER_PARAMETERS, found
from lgcnet_search.space.genotype import random_genotype
from lgcnet_search.space.network import count_parameters
from published_networks.modules import ModuleSpace
from tests.published_networks.test_modules import make_network
from tests.support.commands import AGENT, SPACE, run

pytestmark = pytest.mark.process


def test_the_figure_is_measured_then_read(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    genotype = tmp_path / "mine" / "genotype.json"
    genotype.parent.mkdir()
    genotype.write_text(random_genotype(SPACE, 1).to_json())
    only = ["--only", "enet", "--only", "fast-scnn", "--only", "lgcnet"]
    command = ["figure-1", "--server", server, "--out", tmp_path, *only]
    assert run(monkeypatch, *command, genotype, "--miou", 70.0) == 0
    out = capsys.readouterr().out
    assert "Fast-SCNN, Cityscapes: 100000.0 a second; published 123.5, Titan Xp, TensorFlow" in out
    assert "mine/genotype: " in out
    pictures = (tmp_path / "figure-1.png").stat().st_size, (tmp_path / "figure-1.md").read_text("utf-8")
    assert pictures[0] > 10_000
    with LutClient(server) as client:
        jobs = len(client.jobs("done"))
    assert run(monkeypatch, *command, "--read") == 0
    with LutClient(server) as client:
        assert len(client.jobs("done")) == jobs, "reading measures nothing"
    assert (tmp_path / "figure-1.md").read_text("utf-8") == pictures[1]
    assert f"FPS, {AGENT.device.name}, pytorch" in pictures[1]

    assert run(monkeypatch, *command, "--no-upsampling") == 0
    told = capsys.readouterr()
    assert "LGCNet's networks are left out" in told.err
    assert "logits at the network's stride" in (tmp_path / "figure-1.md").read_text("utf-8")

    assert run(monkeypatch, *command[:3], "--only", "unet") == 2
    assert "only: 'unet' is no network; known are bisenetv2" in capsys.readouterr().err
    assert run(monkeypatch, *command, genotype, "--miou", 1.0, "--miou", 2.0) == 2
    assert "miou: 2 given for 1 genotypes" in capsys.readouterr().err


def test_a_module_of_ones_own_is_measured_once_and_kept(server: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("small")
    space = ModuleSpace("mine", {"small": make_network}, tmp_path / "mine.py")
    small, wide = space.operation("small", (3, 8, 8)), space.operation("small", (3, 8, 8), channels=9)
    with LutClient(server) as client:
        table = space.profile(client, small)
        assert table[small].latency.median_us == 10.0
        extended = space.profile(client, wide)
        assert {row.operation for row in extended.rows} == {small, wide}
        with pytest.raises(ValueError, match=r"device: 'nowhere' is not one device; give a UUID of Test CPU"):
            space.profile(client, small, device="nowhere")


def test_the_network_that_stands_for_the_papers_has_the_numbers_that_the_paper_gives() -> None:
    genotype = found()
    parameters = count_parameters(genotype.space.graph.derive(genotype.choices))
    assert abs(parameters / PAPER_PARAMETERS - 1) < 0.02
    assert found(11, 720, 960).choices == genotype.choices
