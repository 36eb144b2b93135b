"""A real server and real agents, each a process, and an installed search space."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lut_server.client import LutClient
from lut_server.schemas import DeviceSelector, Effort, JobRequest, OperationSpec, Runtime
from tests.lut_server.processes import Server, serving
from tests.profiler_agent import toy_space

WAIT_S = 600


def wait_until(condition: object, timeout_s: float = WAIT_S) -> None:
    assert callable(condition)
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.02)


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


def on_path(site: Path) -> str:
    """PYTHONPATH with `site` first, for processes."""
    return os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    with serving(folder) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[LutClient]:
    with LutClient(server.url, retry_for_s=20) as client:
        yield client


class Agents:
    """Starts agents of one state folder, on a machine of their own as far as locks go; their stderr goes to files."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self._environment = {**os.environ, "PYTHONPATH": on_path(site), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
        self.started: list[subprocess.Popen[str]] = []

    def start(self, command: str, url: str, state: str = "", *more: str) -> subprocess.Popen[str]:
        """Start an agent; `state` names another state folder than the usual one."""
        options = ["--server", url, "--device", "cpu", "--state-dir", str(self.folder / state), *more]
        process = subprocess.Popen(
            [sys.executable, "-m", "profiler_agent", command, *options],
            env=self._environment,
            stderr=self.log(len(self.started)).open("w"),
            text=True,
        )
        self.started.append(process)
        return process

    def once(self, url: str, *more: str) -> int:
        """Let an agent do what is queued; its exit status."""
        return self.start("once", url, "", *more).wait(WAIT_S)

    def log(self, number: int = 0) -> Path:
        return self.folder / f"agent-{number}.log"


@pytest.fixture
def agents(tmp_path: Path, site: Path) -> Iterator[Agents]:
    folder = tmp_path / "agent"
    folder.mkdir()
    agents = Agents(folder, site)
    yield agents
    for process in agents.started:
        process.kill()
        process.wait()


def profile(*operations: OperationSpec, **changes: object) -> JobRequest:
    """A job of the toy space that ends quickly: six blocks are an interval."""
    fields = {
        "device": DeviceSelector(kind="cpu"),
        "runtime": Runtime(threads=1),
        "space": toy_space.name,
        "space_digest": toy_space.digest,
        "requirement": toy_space.requirement,
        "operations": operations,
        "effort": Effort(target_rel=0.5, min_blocks=6),
    }
    return JobRequest.model_validate({**fields, **changes})
