"""Workers: each takes blocks with a workbench, in this process or, by orders over a pipe, in another one."""

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from pydantic import TypeAdapter

from latency_tables.contract import Contract
from profiler_agent.doubt import Block
from profiler_agent.errors import JobFailed, Unmeasurable
from profiler_agent.exit_status import how_it_ended
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.machine.host_monitor import HostReading
from profiler_agent.measuring.procedure import PROCESSES
from profiler_agent.measuring.rounds import Take
from profiler_agent.measuring.workbench import Workbench
from profiler_agent.measuring.workload import labels_of, workloads_of
from profiler_agent.messages import Preparing
from profiler_agent.orders import BUILDING, CollectGarbage, ReadHost, Ready, Settle, TakeBlock, Unable, WorkTask
from profiler_agent.runtimes.exports import Exports
from profiler_agent.runtimes.mode import open_mode

Answer = TypeVar("Answer")
OnBuild = Callable[[Preparing], None]

EXECUTIONS: TypeAdapter[int | Unable] = TypeAdapter(int | Unable)
BLOCK: TypeAdapter[Block | Unable] = TypeAdapter(Block | Unable)
HOST_READING: TypeAdapter[HostReading | Unable] = TypeAdapter(HostReading | Unable)
NOTHING: TypeAdapter[Unable | None] = TypeAdapter(Unable | None)
"""The answers to orders, as the process of a worker sends them."""

LAUNCHER = Path(__file__).with_name("launch.py")


class Worker(Protocol):
    """Takes blocks, in this process or in another one.

    What names a workload or reference raises Unmeasurable if that fails, and JobFailed if the process ends; on a GPU,
    AgentMustStop if the GPU fails.
    """

    @property
    def ready(self) -> Ready:
        """What is built, once all is."""
        ...

    def settle(self, name: str) -> int:
        """Warm up; the executions that make a block."""
        ...

    def take(self, name: str, executions: int) -> Block: ...

    def device_us(self, name: str, executions: int) -> float | None:
        """The device's own time of an execution, where the clock's includes the host's launching."""
        ...

    def read_host(self) -> HostReading: ...

    def collect_garbage(self) -> None: ...


class LocalWorker:
    """A workbench in this process: for a GPU, where one process is to have the device's memory.

    Raises:
        JobFailed: the task cannot be done here.
    """

    def __init__(self, task: WorkTask, gpu: GpuMonitor | None, on_build: OnBuild) -> None:
        exports = Exports(Path(task.exports)) if task.exports else None
        self._bench = Workbench(task.runtime, torch.device(task.device), gpu, exports, task.turn)
        failures: dict[str, str] = {}
        workloads = workloads_of(task.request, task.keys, lambda _: None, task.anchor) if task.request else []
        first = task.turn * len(workloads) // task.turns
        for done, workload in enumerate(workloads[first:] + workloads[:first]):
            on_build(Preparing(key=workload.key, done=done, total=len(workloads)))
            try:
                self._bench.build(workload)
            except Unmeasurable as error:
                failures[workload.key] = str(error)
        self._bench.pin()
        gc.collect()
        gc.freeze()  # what is built stays: collecting between rounds looks at what came since
        self.ready = Ready(settings=self._bench.settings, failures=failures, kernels=self._bench.kernels)

    def settle(self, name: str) -> int:
        return self._bench.settle(name)

    def take(self, name: str, executions: int) -> Block:
        return self._bench.take(name, executions)

    def device_us(self, name: str, executions: int) -> float | None:
        return self._bench.device_us(name, executions)

    def read_host(self) -> HostReading:
        return self._bench.read_host()

    def collect_garbage(self) -> None:
        gc.collect()


class RemoteWorker:
    """A workbench in a new process on a CPU. It ends with this process, or when it is closed.

    Raises:
        JobFailed: the process ended.
    """

    def __init__(self, task: WorkTask, on_build: OnBuild | None = None) -> None:
        self._on_build = on_build
        command = [sys.executable, "-m", "profiler_agent.measuring.worker_process"]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self._labels = labels_of(task.request) if task.request else {}
        self._doing = "building"
        self._ready: Ready | None = None
        self._send(task)

    @property
    def ready(self) -> Ready:
        while self._ready is None:
            message = BUILDING.validate_json(self._receive())
            if isinstance(message, Ready):
                self._ready = message
            else:
                self._doing = message.key
                if self._on_build:
                    self._on_build(message)
        return self._ready

    def settle(self, name: str) -> int:
        return self._ask(Settle(name=name), name, EXECUTIONS)

    def take(self, name: str, executions: int) -> Block:
        return self._ask(TakeBlock(name=name, executions=executions), name, BLOCK)

    def device_us(self, name: str, executions: int) -> float | None:
        """None: a CPU launches nothing."""
        del name, executions
        return None

    def read_host(self) -> HostReading:
        return self._ask(ReadHost(), "reading the host's state", HOST_READING)

    def collect_garbage(self) -> None:
        """Waits: on its cores the next block belongs to another worker."""
        self._ask(CollectGarbage(), "collecting garbage", NOTHING)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _ask(self, order: Contract, doing: str, answers: TypeAdapter[Answer | Unable]) -> Answer:
        _ = self.ready
        self._doing = doing
        self._send(order)
        answer = answers.validate_json(self._receive())
        if isinstance(answer, Unable):
            raise Unmeasurable(answer.error)
        return answer

    def _send(self, message: Contract) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(message.model_dump_json() + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._death() from error

    def _receive(self) -> str:
        assert self._process.stdout is not None
        line: str = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._death()
        return line

    def _death(self) -> JobFailed:
        doing = self._labels.get(self._doing, self._doing)
        return JobFailed(f"{doing}: a worker process {how_it_ended(self._process.wait())}")


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
