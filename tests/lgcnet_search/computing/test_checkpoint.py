"""A search that is killed goes on as if it had not been; a file that it cannot go on from is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lgcnet_search.computing.checkpoint import Checkpoint, CheckpointError, Checkpoints, require_same
from lgcnet_search.search.search import SearchSettings, search
from lgcnet_search.space.latencies import Latencies
from tests.support.tiny_search import KEPT, PROXY, TABLE, batches, kept
from tests.support.tiny_spaces import TINY, make_table


@pytest.mark.process
def test_a_killed_search_finds_what_it_would_have_found(tmp_path: Path) -> None:
    path = tmp_path / "search.pt"
    command = [sys.executable, "-m", "tests.support.tiny_search", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 5:
                process.kill()
                break
    assert process.returncode == -9
    resumed: list[int] = []
    result = search(
        TINY,
        PROXY,
        Latencies(TABLE),
        batches,
        KEPT,
        on_step=lambda record: resumed.append(record.step),
        checkpoints=Checkpoints(path, 2, "noise"),
    )
    assert resumed[0] in (4, 6)
    uninterrupted = kept(tmp_path / "other.pt")
    assert result == uninterrupted
    assert kept(path) == uninterrupted


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "search.pt"
    Checkpoint({"beta": 0.1, "steps": 4}, {"alpha": torch.ones(1000)}).save(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["search.pt"]
    return path.read_bytes()


def test_round_trip(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "search.pt"
    path.write_bytes(content)
    result = Checkpoint.load(path, {"beta": 0.1, "steps": 4})
    assert torch.equal(result.state["alpha"], torch.ones(1000))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_damage_is_named(content: bytes, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "search.pt"
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes({"cut": content[:-9], "flipped": bytes(flipped), "empty": b"", "other": b"PK" * 99}[damage])
    with pytest.raises(CheckpointError, match=r"search\.pt is damaged .* remove it"):
        Checkpoint.load(path, {"beta": 0.1, "steps": 4})


def test_another_run_is_named_by_what_differs(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "search.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"beta: 0.1 there, 0.2 now; crop: absent there, 3 now") as caught:
        Checkpoint.load(path, {"beta": 0.2, "steps": 4, "crop": 3})
    assert "steps" not in str(caught.value)


def test_a_search_refuses_the_checkpoint_of_another(tmp_path: Path) -> None:
    at = Checkpoints(tmp_path / "search.pt", 1)
    settings = SearchSettings(steps=1)
    search(TINY, PROXY, Latencies(TABLE), batches, settings, checkpoints=at)
    with pytest.raises(CheckpointError, match=r"settings.seed: 0 there, 1 now"):
        search(TINY, PROXY, Latencies(TABLE), batches, SearchSettings(steps=1, seed=1), checkpoints=at)
    with pytest.raises(CheckpointError, match=r"\(latencies: "):
        search(TINY, PROXY, Latencies(make_table(TINY.operations, 1)), batches, settings, checkpoints=at)
    with pytest.raises(CheckpointError, match=r"data:  there, other now"):
        search(TINY, PROXY, Latencies(TABLE), batches, settings, checkpoints=Checkpoints(at.path, 1, "other"))


def test_a_run_goes_on_in_other_parts_of_equal_updates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who loses a node does not lose the run; another batch is another run."""
    there = {"processes": 1, "accumulate": 1, "data": "here, 4 images in an update"}
    require_same(tmp_path, there, there)
    assert capsys.readouterr().err == ""
    require_same(tmp_path, there, {**there, "processes": 2})
    assert "other parts of each update (processes: 1 there, 2 now)" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="8 images"):
        require_same(tmp_path, there, {**there, "processes": 2, "data": "here, 8 images in an update"})
