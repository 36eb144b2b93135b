"""Two processes, launched once, against one: the same global batches, the same noise."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lgcnet_search.computing.processes import Processes
from lgcnet_search.search.search import SearchRun
from lgcnet_search.search.update import Sampling
from lgcnet_search.space.latencies import Latencies
from tests.support.tiny_search import PROXY, SHARED, TABLE, assert_near, shared
from tests.support.tiny_spaces import TINY
from tests.support.tiny_train import trained

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of tiny_processes."""
    folder = tmp_path_factory.mktemp("together")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "tests.support.tiny_processes", str(folder)]
    subprocess.run(command, check=True, timeout=600)
    return folder


@pytest.mark.parametrize("sampling", ["soft", "hard"])
def test_two_processes_search_as_one_does(folder: Path, sampling: Sampling) -> None:
    """BatchNorm in its evaluation state, since gloo cannot share it."""
    expected = shared(Processes(), sampling)
    assert_near(torch.load(folder / "together.pt")[sampling], expected)
    start = SearchRun(TINY, PROXY, Latencies(TABLE), SHARED).architecture.state_dict()
    assert max(float((expected[name] - start[name]).abs().max()) for name in expected) > 0.01


def test_two_processes_train_as_one_does(folder: Path) -> None:
    assert_near(torch.load(folder / "together.pt")["trained"], trained(), atol=1e-6)


def test_processes_end_with_the_statistics_of_the_first(folder: Path) -> None:
    first, second = (torch.load(folder / f"normalized.{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, value in first.items():
        assert torch.equal(second[name], value), name


def test_a_process_that_left_its_group_has_no_thread_of_it(folder: Path) -> None:
    """Such a thread aborts the process now and then, when the interpreter ends before it."""
    names = " ".join((folder / f"threads.{rank}.txt").read_text() for rank in (0, 1))
    assert names
    assert "gloo" not in names
