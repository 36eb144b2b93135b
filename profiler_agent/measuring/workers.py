"""The workers of a job: one on a GPU, several processes on a CPU."""

import gc
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.measuring.procedure import PROCESSES
from profiler_agent.measuring.processes import be_ready_to_fork
from profiler_agent.measuring.remote_worker import RemoteWorker
from profiler_agent.measuring.rounds import Take
from profiler_agent.measuring.worker import LocalWorker, OnBuild, Worker
from profiler_agent.orders import WorkTask
from profiler_agent.runtimes.mode import open_mode


@contextmanager
def open_workers(
    task: WorkTask, gpu: GpuMonitor | None, on_build: OnBuild, processes: int = PROCESSES
) -> Iterator[Sequence[Worker]]:
    """One worker on a GPU; on a CPU several, each a process: pages land differently in each of them.

    Inside, modules run in inference mode and garbage is collected on order only. Raises JobFailed.
    """
    remote: list[RemoteWorker] = []
    with torch.inference_mode(), _no_collection():
        if torch.device(task.device).type == "cuda":
            yield [LocalWorker(task, gpu, on_build)]
            return
        open_mode(task.runtime, torch.device("cpu"))  # refuses here what no worker could do
        be_ready_to_fork()
        try:
            shared = {"exports": tempfile.mkdtemp(prefix="exports-"), "turns": processes}
            for turn in range(processes):
                # All build the same; the first one's progress is the job's.
                worker_task = task.model_copy(update={**shared, "turn": turn})
                remote.append(RemoteWorker(worker_task, None if turn else on_build))
            yield remote
        finally:
            for worker in remote:
                worker.close()


def takes_of(workers: Sequence[Worker], executions: Mapping[str, int]) -> dict[str, Take]:
    """How to take a block of each workload or reference, of so many `executions`, in the worker of a number."""

    def take_of(name: str, count: int) -> Take:
        return lambda process: workers[process].take(name, count)

    return {name: take_of(name, count) for name, count in executions.items()}


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
