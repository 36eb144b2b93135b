"""The agent killed (SIGKILL) at every step of a result's way to a real server, and started again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from latency_tables.client import LutClient
from latency_tables.contract import Measurement
from tests.support import toy_space
from tests.support.agents import WAIT_S, profile
from tests.support.killed_agent import POINTS
from tests.support.processes import Server

pytestmark = pytest.mark.process

KEYS = 4
LOST = ("before it is written", "before it is whole on disk", "before it has its name")
"""Points at which the second result is in memory only."""


class Machine:
    """Where the agent runs: its state folder, and what it measured."""

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder = folder
        self._url = server.url
        self._log = folder / "measured"

    def run(self, point: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.support.killed_agent", point, str(self._log), "run", "--once"]
        options = ["--server", self._url, "--device", "cpu", "--state-dir", str(self._folder / "state")]
        environment = {**os.environ, "LUT_LOCK_DIR": str(self._folder)}
        return subprocess.run(
            [*command, *options], env=environment, stderr=subprocess.PIPE, text=True, check=False, timeout=WAIT_S
        )

    def measured(self) -> list[str]:
        return self._log.read_text().split()

    def waiting(self) -> list[Measurement]:
        paths = self._folder.glob("state/*/outbox/*/*.json")
        return [Measurement.model_validate_json(path.read_bytes()) for path in paths]


@pytest.mark.parametrize("point", POINTS)
def test_no_result_is_lost_or_doubled_and_no_key_measured_again(tmp_path: Path, server: Server, point: str) -> None:
    with LutClient(server.url, retry_for_s=20, cache=False) as client:
        # Of other shapes at each point: what one point measured is not measured at the next.
        side = 10 * (1 + list(POINTS).index(point))
        operations = [toy_space.operation("conv", side + number) for number in range(KEYS)]
        request = profile(*operations)
        job = client.submit_job(request)
        machine = Machine(tmp_path, server)

        assert machine.run(point).returncode == -signal.SIGKILL
        delivered = client.measurements(job_id=job.id)
        survivors = {measurement.key: measurement.id for measurement in (*machine.waiting(), *delivered)}
        before = machine.measured()
        if point in LOST:
            assert set(survivors) == {before[0]}
        else:
            assert set(before[:2]) <= set(survivors)

        assert machine.run("never").returncode == 0
        assert client.job(job.id).state == "done"
        stored = client.measurements(job_id=job.id)
        assert sorted(measurement.key for measurement in stored) == sorted(request.keys), "each once"
        ids = {measurement.key: measurement.id for measurement in stored}
        assert survivors.items() <= ids.items(), "what survived is what arrived"
        again = set(machine.measured()[len(before) :])
        assert again == set(request.keys) - set(survivors), "no surviving key measured again"
        assert machine.waiting() == []


def test_a_gpu_that_is_lost_ends_the_agent_and_hands_the_job_back(tmp_path: Path, server: Server) -> None:
    request = profile(*(toy_space.operation("pool", 300 + number) for number in range(KEYS)))
    with LutClient(server.url, retry_for_s=20, cache=False) as client:
        job = client.submit_job(request)
        machine = Machine(tmp_path, server)
        ended = machine.run("gpu lost")
        assert ended.returncode == 1
        assert "GPU-1 is gone (lost); its job is handed back" in ended.stderr
        handed_back = client.job(job.id)
        assert (handed_back.state, handed_back.error) == ("queued", None)
        assert machine.run("never").returncode == 0
        assert client.job(job.id).state == "done"
        assert sorted(machine.measured()) == sorted(request.keys), "each once"
