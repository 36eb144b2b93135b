"""Networks made on a Dask cluster of two workers, as users start them, one of which is killed while it makes one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from distributed import Client

from lgcnet_search.ablations.arms import ABLATIONS
from lgcnet_search.ablations.network import Study
from lgcnet_search.ablations.outcome import RESULT
from lgcnet_search.ablations.runner import make_all, trials_of
from lgcnet_search.computing.engines import Engine, EngineError

START_S = 300.0
PRELOAD = ("--preload", "lgcnet_search.ablations.network")
"""What tasks import is imported before a worker says that it is there."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """The address of a scheduler, and its two workers."""
    file = tmp_path / "scheduler.json"
    # A busy machine may take minutes to import torch; a worker that is silent for so long counts as dead by default.
    environment = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "600s"}

    def started(*arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:], "--scheduler-file", str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    local = ("--host", "127.0.0.1", "--no-dashboard")
    scheduler = started("dask_scheduler", "--port", "0", *local)
    workers = [started("dask_worker", "--no-nanny", "--nthreads", "1", *PRELOAD, *local) for _ in range(2)]
    try:
        give_up_at = time.monotonic() + START_S
        while not file.exists():
            assert time.monotonic() < give_up_at, "the scheduler did not start"
            time.sleep(0.05)
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=START_S)
            yield client.scheduler.address, workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


@pytest.mark.process
def test_a_killed_workers_network_is_made_by_another(
    study: Study, cluster: tuple[str, list["subprocess.Popen[bytes]"]], tmp_path: Path
) -> None:
    address, workers = cluster
    arm = next(arm for arm in ABLATIONS["equal-latency"].arms if arm.drawn)
    trials = trials_of(replace(ABLATIONS["equal-latency"], arms=(arm,)), 3)
    alone = make_all(study, trials)
    there = replace(study, out=tmp_path / "there")

    killed: list[int] = []

    def kill_one() -> None:
        """The worker that has a task first."""
        with Client(address, set_as_default=False) as client:
            pids = client.run(os.getpid)
            give_up_at = time.monotonic() + START_S
            while time.monotonic() < give_up_at:
                busy = [worker for worker, keys in client.processing().items() if any("make" in key for key in keys)]
                if busy:
                    killed.append(pids[busy[0]])
                    os.kill(killed[0], signal.SIGKILL)
                    return
                time.sleep(0.02)

    thread = Thread(target=kill_one)
    thread.start()
    outcomes = make_all(there, trials, engine=Engine(cluster=address))
    thread.join()
    assert outcomes == alone
    assert killed[0] in [worker.pid for worker in workers]
    assert sum(worker.poll() is None for worker in workers) == 1, "one is dead, and did not make them all"
    assert len(list(there.out.rglob(RESULT))) == 3

    with pytest.raises(EngineError, match="no worker has the resource GPU"):
        make_all(replace(study, out=tmp_path / "gpu"), trials, engine=Engine(cluster=address, gpu=True))


def test_a_cluster_that_does_not_answer_is_said(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lgcnet_search.computing.engines.CONNECT_S", 0.3)
    arm = next(arm for arm in ABLATIONS["equal-latency"].arms if arm.drawn)
    trials = trials_of(replace(ABLATIONS["equal-latency"], arms=(arm,)), 1)
    with pytest.raises(EngineError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        make_all(study, trials, engine=Engine(cluster="tcp://127.0.0.1:9"))
    with pytest.raises(EngineError, match="not-an-address"):
        make_all(study, trials, engine=Engine(cluster="not-an-address"))
