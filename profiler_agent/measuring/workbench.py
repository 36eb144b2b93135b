"""Workloads built, warm and ready, in this process: takes a block of any of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import torch

from latency_tables.contract import Kernel, Runtime, Scalar
from profiler_agent.doubt import Block
from profiler_agent.errors import AgentMustStop, JobFailed, Unmeasurable
from profiler_agent.machine.cores import ranges, read_cores
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.machine.host_monitor import HostMonitor, HostReading
from profiler_agent.measuring.guard import SettingsChanged, read_settings, require_settings, settings_kept
from profiler_agent.measuring.placement import Placement
from profiler_agent.measuring.reasons import reason_of
from profiler_agent.measuring.references import references
from profiler_agent.measuring.sampling import Sampler
from profiler_agent.measuring.workload import Workload
from profiler_agent.runtimes.exports import Exports, ShareExport, alone
from profiler_agent.runtimes.inputs import WritesToInput
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Execute, settle
from profiler_agent.timing.cuda import CudaEventClock

WORKLOADS_OWN = (SettingsChanged, WritesToInput)
"""Failures of a workload that say nothing of the device."""


class Workbench:
    """Executes in `runtime` on `device`; to be used under inference_mode, with garbage collection off.

    `kernels`: of the networks that were built, where the mode's library tells them.

    With `exports` it shares them with other processes, of which it is number `turn`.

    Raises:
        JobFailed: the runtime does not work on this machine.
    """

    def __init__(
        self,
        runtime: Runtime,
        device: torch.device,
        gpu: GpuMonitor | None,
        exports: Exports | None = None,
        turn: int = 0,
    ) -> None:
        self._threads = runtime.threads
        self._cores: str | None = None
        self._placement = Placement() if device.type == "cpu" else None
        self._device = device
        self._gpu = gpu
        self._host = HostMonitor()
        self._mode = open_mode(runtime, device)
        self._sampler = Sampler(self._mode.clock, self._host, gpu)
        self._exports = exports
        self._executes: dict[str, Execute] = {}
        self._labels: dict[str, str] = {}
        self.kernels: dict[str, tuple[Kernel, ...]] = {}
        by_name = list(references(device).items())
        for name, reference in by_name[turn:] + by_name[:turn]:
            subject = Subject(reference.module, reference.input_shapes, share=self._share(name))
            self._executes[name] = self._mode.prepare(subject)

    @property
    def settings(self) -> dict[str, Scalar]:
        """What the mode and the clock add to the method of every measurement."""
        on_cpu: dict[str, Scalar] = {"placement": "another in every block"} if self._placement else {}
        if self._cores:
            on_cpu["cores"] = self._cores
        return {**self._mode.settings, "block_ms": self._mode.clock.block_s * 1000, **on_cpu}

    def build(self, workload: Workload) -> None:
        """Make a workload ready.

        Raises:
            Unmeasurable: it does not build or run.
            JobFailed: it left the GPU in an error that only a new process clears.
            AgentMustStop: the GPU is gone.
        """
        try:
            # Said by the process that the workers belong to, which builds everything too.
            with settings_kept(f"building {workload.label}", lambda _: None):
                subject = Subject(workload.build(), workload.input_shapes, workload.is_part, self._share(workload.key))
                execute = self._mode.prepare(subject)
            if workload.is_part:  # a network takes long, and its first block shows as well whether it runs
                before = read_settings()
                self._mode.clock.time_s(execute, 1)
                require_settings(before)
        except (Exception, SystemExit) as error:
            # The space's code is not ours: whatever it raises is an answer to the job, not a crash of the agent.
            reason = f"{workload.label}: {reason_of(error)}"
            if self._device.type == "cuda":
                self._require_gpu(reason)
            raise Unmeasurable(reason) from error
        kernels = None if workload.is_part else self._mode.kernels(execute)
        if kernels is not None:
            self.kernels[workload.key] = kernels
        self._executes[workload.key] = execute
        self._labels[workload.key] = workload.label

    def pin(self) -> None:
        """Keep to the cores that are measured on, where that is a CPU; before, several may build beside each other."""
        if self._device.type == "cpu":
            self._cores = pin(self._threads)

    def settle(self, name: str) -> int:
        """Warm up a workload or reference; the executions that make a block of it.

        Raises:
            Unmeasurable: it does not run so often, or the GPU's memory is short.
            AgentMustStop: the GPU is gone or fails.
        """
        with self._failures_of(name):
            before = read_settings()
            executions = settle(self._mode.clock, self._executes[name])
            require_settings(before)
            return executions

    def take(self, name: str, executions: int) -> Block:
        """One block. Raises as `settle`."""
        if self._placement:
            self._placement.move()
        with self._failures_of(name):
            before = read_settings()
            block = self._sampler.take(name, self._executes[name], executions)
            require_settings(before)
            return block

    def device_us(self, name: str, executions: int) -> float | None:
        """The device's own time of an execution, where the clock's includes the host's launching.

        At most `executions` at a time are timed; None if that cannot be had. Raises AgentMustStop as `settle`.
        """
        clock = self._mode.clock
        device_s = None
        if isinstance(clock, CudaEventClock):
            with suppress(Unmeasurable), self._failures_of(name):
                device_s = clock.device_s(self._executes[name], executions)
        return None if device_s is None else device_s * 1e6

    def read_host(self) -> HostReading:
        """What the host did to this process since it started."""
        return self._host.read()

    def _share(self, name: str) -> ShareExport:
        return partial(self._exports.get, name) if self._exports else alone

    @contextmanager
    def _failures_of(self, name: str) -> Iterator[None]:
        """Translate what a workload raises that has run before. PyTorch, pycuda and ONNX Runtime share no base class.

        On a CPU the failure is the workload's; on a GPU it is the GPU's, unless memory is short.
        """
        try:
            yield
        except AgentMustStop:
            raise
        except (Exception, SystemExit) as error:
            reason = f"{self._labels.get(name, name)}: {reason_of(error)}"
            if self._device.type == "cpu" or isinstance(error, (torch.cuda.OutOfMemoryError, *WORKLOADS_OWN)):
                raise Unmeasurable(reason) from error
            if self._gpu:
                self._gpu.read()  # a GPU that is gone is named as such
            raise AgentMustStop(f"the GPU failed while measuring: {reason_of(error)}") from error

    def _require_gpu(self, reason: str) -> None:
        if self._gpu:
            self._gpu.read()
        try:
            torch.cuda.synchronize(self._device)
        except RuntimeError as error:  # errors of kernels stay until the process ends
            raise JobFailed(reason) from error


def pin(threads: int | None, sys: Path = Path("/sys")) -> str:
    """Keep this process to as many cores as it has `threads`, of the fast kind and no two threads of one core.

    All cores where it has no fewer. `sys` is Linux' folder that says what kinds there are. Returns their names.
    """
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned"
    available = sorted(os.sched_getaffinity(0))
    cores = read_cores(sys).choose(threads or len(available))
    if len(cores) < len(available):
        for thread in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(int(thread), cores)
    return ",".join(ranges(cores))
