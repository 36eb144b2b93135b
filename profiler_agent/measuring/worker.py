"""Workers: each takes blocks with a workbench, in this process or, by orders over a connection, in another one."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from profiler_agent.doubt import Block
from profiler_agent.errors import Unmeasurable
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.machine.host_monitor import HostReading
from profiler_agent.measuring.placement import shifted
from profiler_agent.measuring.workbench import Workbench
from profiler_agent.measuring.workload import workloads_of
from profiler_agent.messages import Preparing
from profiler_agent.orders import Ready, WorkTask
from profiler_agent.runtimes.exports import Exports

OnBuild = Callable[[Preparing], None]


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
        self._fillers = shifted()
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
