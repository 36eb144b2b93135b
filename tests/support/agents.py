"""Agents as processes, and jobs of the toy space."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from latency_tables.contract import DeviceSelector, Effort, JobRequest, OperationSpec, Runtime
from tests.support import toy_space

WAIT_S = 600


def wait_until(condition: Callable[[], object]) -> None:
    """Return as soon as `condition` is true; it takes long only where a test fails, or on a busy machine."""
    give_up_at = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.02)


def on_path(site: Path) -> str:
    """PYTHONPATH with `site` first, for processes."""
    return os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))


class Agents:
    """Starts agents of one state folder, on a machine of their own as far as locks go; their stderr goes to files."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": on_path(site),
            "LUT_LOCK_DIR": str(folder),
        }
        self.started: list[subprocess.Popen[str]] = []

    def start(self, url: str, state: str = "", *more: str) -> subprocess.Popen[str]:
        """Start an agent with more options; `state` names another state folder than the usual one."""
        options = ["--server", url, "--device", "cpu", "--state-dir", str(self.folder / state), *more]
        process = subprocess.Popen(
            [sys.executable, "-m", "profiler_agent", "run", *options],
            env=self._environment,
            stderr=self.log(len(self.started)).open("w"),
            text=True,
        )
        self.started.append(process)
        return process

    def once(self, url: str, *more: str) -> int:
        """Let an agent do what is queued; its exit status."""
        return self.start(url, "", "--once", *more).wait(WAIT_S)

    def end(self) -> None:
        """End all gracefully: a claim that was only cut off could still get a lease."""
        for process in self.started:
            process.terminate()
        for process in self.started:
            process.wait(WAIT_S)

    def log(self, number: int = 0) -> Path:
        return self.folder / f"agent-{number}.log"


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
