"""A real server and real agents, each a process, and an installed search space."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from latency_tables.client import LutClient
from tests.support import toy_space
from tests.support.agents import Agents
from tests.support.processes import Server, serving


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip leaves it: the toy space with its metadata."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(toy_space.__file__, site / "toy_space.py")
    info = site / "toy_space-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-space\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[profiler_agent.spaces]\ntoy = toy_space\n")
    return site


@pytest.fixture
def toy_installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy space for code that runs in the test's own process."""
    monkeypatch.syspath_prepend(site)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a module: each posts jobs of its own, and leaves none behind that is not done."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[LutClient]:
    with LutClient(server.url, retry_for_s=20) as client:
        yield client


@pytest.fixture
def agents(tmp_path: Path, site: Path) -> Iterator[Agents]:
    folder = tmp_path / "agent"
    folder.mkdir()
    agents = Agents(folder, site)
    yield agents
    agents.end()
