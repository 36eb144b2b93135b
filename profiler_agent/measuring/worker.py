"""A worker: a workbench in a process of its own, that takes blocks as it is told over a pipe."""

import ctypes
import gc
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TextIO

import torch

from latency_tables.children import signal_with_parent
from latency_tables.contract import Contract
from profiler_agent.agent.process import how_it_ended
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.machine.host_monitor import HostReading
from profiler_agent.measuring.rounds import Block
from profiler_agent.measuring.workbench import Unmeasurable, Workbench
from profiler_agent.measuring.workload import labels_of, workloads_of
from profiler_agent.messages import (
    BUILDING,
    ORDER,
    Collect,
    Collected,
    Look,
    Looked,
    Preparing,
    Ready,
    Settle,
    Settled,
    TakeBlock,
    Taken,
    WorkTask,
)
from profiler_agent.runtimes.exports import Exports


class Worker(Protocol):
    """Takes blocks, in this process or in another one."""

    @property
    def ready(self) -> Ready: ...

    def settle(self, name: str) -> int: ...

    def take(self, name: str, executions: int) -> Block: ...

    def device_us(self, name: str, executions: int) -> float | None: ...

    def look(self) -> HostReading: ...

    def collect(self) -> None: ...


class LocalWorker:
    """A workbench in this process: for a GPU, where one process is to have the device's memory.

    Raises:
        Unsupported, SpaceError: the task cannot be done here.
    """

    def __init__(self, task: WorkTask, gpu: GpuMonitor | None, on_build: Callable[[str, int], None]) -> None:
        exports = Exports(Path(task.exports)) if task.exports else None
        self._bench = Workbench(task.runtime, torch.device(task.device), gpu, exports, task.turn)
        failures: dict[str, str] = {}
        workloads = workloads_of(task.request, task.keys) if task.request else []
        begin = task.turn * len(workloads) // task.turns
        for count, workload in enumerate(workloads[begin:] + workloads[:begin]):
            on_build(workload.key, count)
            try:
                self._bench.build(workload)
            except Unmeasurable as error:
                failures[workload.key] = str(error)
        self._bench.pin()
        gc.collect()
        gc.freeze()  # what is built stays: collecting between rounds looks at what came since
        self.ready = Ready(settings=self._bench.settings, failures=failures)

    def settle(self, name: str) -> int:
        return self._bench.settle(name)

    def take(self, name: str, executions: int) -> Block:
        return self._bench.take(name, executions)

    def device_us(self, name: str, executions: int) -> float | None:
        return self._bench.device_us(name, executions)

    def look(self) -> HostReading:
        return self._bench.look()

    def collect(self) -> None:
        self._bench.collect()


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_ADDR_NO_RANDOMIZE = 0x0040000


def _begin() -> None:
    """In the new process, where the kernel is Linux: memory is laid out alike in all, and none outlives its parent.

    A worker that is still building reads no orders, and would not notice that nobody is there any more.
    """
    if _LIBC is not None:
        _LIBC.personality(_ADDR_NO_RANDOMIZE)
    signal_with_parent(signal.SIGKILL)


class WorkerDied(Exception):
    """A worker's process ended; the message says during what."""


class RemoteWorker:
    """A workbench in a new process. It ends with this process, or when it is closed."""

    def __init__(self, task: WorkTask, on_build: Callable[[Preparing], None] | None = None) -> None:
        self._on_build = on_build
        self._process = subprocess.Popen(
            [sys.executable, "-m", "profiler_agent.measuring.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            preexec_fn=_begin,
        )
        self._labels = labels_of(task.request) if task.request else {}
        self._doing = "building"
        self._send(task)
        self._ready: Ready | None = None

    @property
    def ready(self) -> Ready:
        """Waits until all is built. Raises WorkerDied."""
        while self._ready is None:
            said = BUILDING.validate_json(self._receive())
            if isinstance(said, Ready):
                self._ready = said
            else:
                self._doing = said.key
                if self._on_build:
                    self._on_build(said)
        return self._ready

    def settle(self, name: str) -> int:
        return Settled.model_validate_json(self._ask(Settle(name=name), name)).executions

    def take(self, name: str, executions: int) -> Block:
        taken = Taken.model_validate_json(self._ask(TakeBlock(name=name, executions=executions), name))
        return Block(taken.latency_us, taken.doubt)

    def device_us(self, name: str, executions: int) -> float | None:
        """None: these workers are for CPUs, which launch nothing."""
        del name, executions
        return None

    def look(self) -> HostReading:
        return HostReading(**Looked.model_validate_json(self._ask(Look(), "looking")).model_dump())

    def collect(self) -> None:
        """Waits: on its cores the next block belongs to another worker."""
        self._ask(Collect(), "collecting")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _ask(self, order: Contract, name: str) -> str:
        _ = self.ready
        self._doing = name
        self._send(order)
        return self._receive()

    def _send(self, order: Contract) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(order.model_dump_json() + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._death() from error

    def _receive(self) -> str:
        assert self._process.stdout is not None
        line: str = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._death()
        return line

    def _death(self) -> WorkerDied:
        doing = self._labels.get(self._doing, self._doing)
        return WorkerDied(f"{doing}: a worker process {how_it_ended(self._process.wait())}")


def work(task: WorkTask, orders: TextIO, send: Callable[[Contract], None]) -> None:
    """Serve orders until they end."""
    with torch.inference_mode():
        total = len(task.keys)
        worker = LocalWorker(task, None, lambda key, done: send(Preparing(key=key, done=done, total=total)))
        gc.disable()
        send(worker.ready)
        for line in orders:
            order = ORDER.validate_json(line)
            if isinstance(order, Settle):
                send(Settled(executions=worker.settle(order.name)))
            elif isinstance(order, TakeBlock):
                block = worker.take(order.name, order.executions)
                send(Taken(latency_us=block.latency_us, doubt=block.doubt))
            elif isinstance(order, Look):
                send(Looked.model_validate(worker.look()._asdict()))
            else:
                worker.collect()
                send(Collected())
