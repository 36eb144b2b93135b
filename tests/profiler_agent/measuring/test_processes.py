"""The measuring process and its workers, without an agent: the standard state, traces, a worker that dies."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from latency_tables.contract import OperationSpec
from profiler_agent.agent.process import MeasuringProcess, how_it_ended, inspect_device
from profiler_agent.measuring.procedure import PROCESSES
from profiler_agent.measuring.references import references
from profiler_agent.measuring.trace import Trace
from profiler_agent.messages import Failed, Measured, MeasureTask, Message, Standard
from tests.support import toy_space
from tests.support.agents import on_path, profile, wait_until
from tests.support.factories import leased_job


@pytest.fixture(scope="module")
def environment() -> str:
    return inspect_device("cpu").environment.digest


def task(
    environment: str, *operations: OperationSpec, standard: dict[str, float] | None = None, trace: Path | None = None
) -> MeasureTask:
    request = profile(*operations)
    return MeasureTask(
        device="cpu",
        job=leased_job(request),
        keys=request.keys,
        threads=1,
        environment=environment,
        standard=standard,
        trace=None if trace is None else str(trace),
    )


@pytest.fixture(autouse=True)
def toy_for_processes(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", on_path(site))


def told(given: MeasureTask) -> list[Message]:
    return list(MeasuringProcess(given).messages())


def test_the_standard_state_is_told_once_and_the_trace_has_every_block_of_every_process(
    environment: str, tmp_path: Path
) -> None:
    conv = toy_space.operation("conv")
    first = task(environment, conv, toy_space.operation("pool"), trace=tmp_path)
    messages = told(first)
    (standard,) = (message.references for message in messages if isinstance(message, Standard))
    measured = [message.measurement for message in messages if isinstance(message, Measured)]
    assert set(standard) == set(references(torch.device("cpu")))
    assert dict(measured[0].method.settings)["processes"] == PROCESSES

    trace = Trace.load(tmp_path / f"{first.job.id}.npz")
    assert set(trace.keys) == set(first.keys)
    for result in measured:
        mine = trace.name == trace.names.index(result.key)
        assert trace.latency_us[mine & trace.kept].tolist() == pytest.approx(result.samples_us)
        assert set(np.unique(trace.process[mine])) == set(range(PROCESSES)), "blocks come from all processes"

    again = told(task(environment, conv, standard=standard))
    assert not [message for message in again if isinstance(message, Standard)]
    assert sum(isinstance(message, Measured) for message in again) == 1


@pytest.mark.parametrize("name", ["deadly", "stillborn"])
def test_a_worker_that_dies_fails_the_job_and_names_the_operation(environment: str, name: str) -> None:
    deadly = toy_space.operation(name)
    (failure,) = (message for message in told(task(environment, deadly)) if isinstance(message, Failed))
    assert failure.error.startswith(f"{deadly}: a worker process ended with exit code 7")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word that the parent died is Linux's")
def test_workers_that_are_still_building_end_with_the_measuring_process(environment: str) -> None:
    others = _children(os.getpid())
    process = MeasuringProcess(task(environment, toy_space.operation("slow")))
    (measuring,) = (child for child in _children(os.getpid()) if child not in others)
    try:
        wait_until(lambda: len(_children(measuring)) == PROCESSES)
        workers = _children(measuring)
        os.kill(measuring, signal.SIGKILL)
        wait_until(lambda: not any(_runs(worker) for worker in workers), timeout_s=10)
    finally:
        process.kill()


def _runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody reaps stays there as a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_how_a_process_ended_is_said_in_words() -> None:
    assert how_it_ended(-9) == "was ended by SIGKILL (out of memory?)"
    assert how_it_ended(-11) == "was ended by SIGSEGV"
    assert how_it_ended(1).startswith("ended with exit code 1")
