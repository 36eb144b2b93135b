"""The measuring process and its workers, without an agent: a whole run, workers that die, what processes leave."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from latency_tables.contract import Measurement, OperationSpec
from profiler_agent.agent.process import MeasuringProcess, inspect_device
from profiler_agent.errors import AgentMustStop, JobFailed
from profiler_agent.exit_status import how_it_ended
from profiler_agent.measuring.procedure import PROCESSES
from profiler_agent.measuring.references import references
from profiler_agent.measuring.trace import Trace
from profiler_agent.messages import MeasureTask, Message, NewMeasurement, NewStandard, Standard
from tests.support import toy_space
from tests.support.agents import on_path, profile, wait_until
from tests.support.factories import leased_job

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word that the parent died is Linux's")
ADDR_NO_RANDOMIZE = 0x0040000
CONV, POOL, EXHAUSTED = map(toy_space.operation, ("conv", "pool", "exhausted"))


@pytest.fixture(scope="module")
def environment() -> str:
    return inspect_device("cpu").environment.of_mode("pytorch").digest


@pytest.fixture(scope="module", autouse=True)
def toy_for_processes(site: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", on_path(site))
        yield


def task_of(
    environment: str,
    *operations: OperationSpec,
    standard: Standard | None = None,
    trace: Path | None = None,
) -> MeasureTask:
    request = profile(*operations)
    return MeasureTask(
        device="cpu",
        job=leased_job(request),
        keys=request.keys,
        threads=1,
        environment=environment,
        standard=standard or Standard(),
        trace=None if trace is None else str(trace),
    )


def measurements(messages: list[Message]) -> list[Measurement]:
    return [message.measurement for message in messages if isinstance(message, NewMeasurement)]


def standards(messages: list[Message]) -> list[Standard]:
    return [message.standard for message in messages if isinstance(message, NewStandard)]


class Run(NamedTuple):
    """A run of two operations that can be measured and one that fails while it is warmed up."""

    messages: list[Message]
    failure: str
    trace: Trace


@pytest.fixture(scope="module")
def run(environment: str, toy_for_processes: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    del toy_for_processes
    folder = tmp_path_factory.mktemp("traces")
    task = task_of(environment, CONV, POOL, EXHAUSTED, trace=folder)
    messages: list[Message] = []
    with pytest.raises(JobFailed) as failure:
        messages.extend(MeasuringProcess(task).messages())
    return Run(messages, str(failure.value), Trace.load(folder / f"{task.job.id}.npz"))


@pytest.mark.process
def test_the_trace_has_every_block_of_every_process(run: Run) -> None:
    for measurement in measurements(run.messages):
        mine = run.trace.name == run.trace.names.index(measurement.key)
        assert run.trace.latency_us[mine & run.trace.kept].tolist() == pytest.approx(measurement.samples_us)
        assert set(np.unique(run.trace.process[mine])) == set(range(PROCESSES)), "blocks come from all processes"
        assert dict(measurement.method.settings)["processes"] == PROCESSES


@pytest.mark.process
def test_an_operation_that_fails_while_it_is_warmed_up_fails_alone(run: Run) -> None:
    assert {measurement.key for measurement in measurements(run.messages)} == {CONV.digest, POOL.digest}
    assert set(run.trace.keys) == {CONV.digest, POOL.digest}
    reason, _, place = run.failure.partition(" (at ")
    assert reason == f"1 of 3 keys cannot be measured: {EXHAUSTED}: RuntimeError: cannot allocate memory"
    assert place.startswith("toy_space.py, line ")


@pytest.mark.process
def test_the_standard_state_is_sent_once_and_not_where_it_is_known(environment: str, run: Run) -> None:
    (standard,) = standards(run.messages)
    assert set(standard.readings) == set(references(torch.device("cpu")))
    again = list(MeasuringProcess(task_of(environment, CONV, standard=standard)).messages())
    assert standards(again) == []
    assert len(measurements(again)) == 1


@pytest.mark.process
@pytest.mark.parametrize("name", ["deadly", "stillborn"])
def test_a_worker_that_dies_fails_the_job_and_names_the_operation(environment: str, name: str) -> None:
    deadly = toy_space.operation(name)
    with pytest.raises(JobFailed) as failure:
        list(MeasuringProcess(task_of(environment, deadly)).messages())
    assert str(failure.value).startswith(f"{deadly}: a worker process ended with exit code 7")


@pytest.mark.process
def test_another_environment_than_the_registered_one_stops_the_agent() -> None:
    with pytest.raises(AgentMustStop, match="software or settings changed"):
        list(MeasuringProcess(task_of("0" * 64, CONV)).messages())


@pytest.mark.process
@on_linux
def test_workers_have_their_memory_laid_out_alike_and_end_with_the_measuring_process(environment: str) -> None:
    others = _children(os.getpid())
    process = MeasuringProcess(task_of(environment, toy_space.operation("slow")))
    (measuring,) = (child for child in _children(os.getpid()) if child not in others)
    try:
        wait_until(lambda: len(_workers(measuring)) == PROCESSES)
        workers = _workers(measuring)  # still building
        assert all(_personality(worker) & ADDR_NO_RANDOMIZE for worker in workers)
        os.kill(measuring, signal.SIGKILL)
        wait_until(lambda: not any(_runs(worker) for worker in workers))
    finally:
        process.kill()


@pytest.mark.process
def test_a_measuring_process_that_ends_at_once_says_how(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    # A task that no pipe holds is still being written when its reader ends.
    process = MeasuringProcess(task_of(environment, *(toy_space.operation("conv", side) for side in range(1, 1000))))
    with pytest.raises(JobFailed, match="ended with exit code 1"):
        list(process.messages())


def test_how_a_process_ended_is_said_in_words() -> None:
    assert how_it_ended(-9) == "was ended by SIGKILL (out of memory?)"
    assert how_it_ended(-11) == "was ended by SIGSEGV"
    assert how_it_ended(1).startswith("ended with exit code 1")


def _runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody reaps stays there as a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _workers(measuring: int) -> list[int]:
    """The processes that were forked for a measuring process, one of whose children forks."""
    return [worker for child in _children(measuring) for worker in _children(child)]


def _personality(pid: int) -> int:
    return int(Path(f"/proc/{pid}/personality").read_text(), 16)
