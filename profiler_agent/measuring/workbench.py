"""Workloads built, warm and ready, in this process: takes a block of any of them when told."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby

import torch

from latency_tables.contract import Runtime, Scalar
from profiler_agent.machine.gpu_monitor import GpuMonitor, NoDevice
from profiler_agent.machine.host_monitor import HostMonitor, HostReading
from profiler_agent.measuring.placement import Placement
from profiler_agent.measuring.references import references
from profiler_agent.measuring.rounds import Block
from profiler_agent.measuring.sampling import Sampler
from profiler_agent.measuring.workload import Workload
from profiler_agent.runtimes.exports import Exports, Share, alone
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.timing.block import Execute, settle
from profiler_agent.timing.cuda import CudaEventClock


class Unmeasurable(Exception):
    """An operation or network that does not build or run here; the message names it."""


class ContextBroken(Exception):
    """An operation left the GPU in an error that only a new process clears; the message names it."""


class Workbench:
    """Executes in `runtime` on `device`; to be used under inference_mode, with garbage collection off.

    With `exports` it shares them with other processes, of which it is number `turn`.

    Raises:
        Unsupported: this machine cannot do the runtime.
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
        self._ready: dict[str, Execute] = {}
        self._labels: dict[str, str] = {}
        every = list(references(device).items())
        for name, reference in every[turn:] + every[:turn]:
            self._ready[name] = self._mode.prepare(reference.module, reference.input_shapes, self._share(name))

    @property
    def settings(self) -> dict[str, Scalar]:
        """What the mode and the clock add to the method of every measurement."""
        on_cpu: dict[str, Scalar] = {"placement": "another in every block"} if self._placement else {}
        if self._cores:
            on_cpu["cores"] = self._cores
        return {**self._mode.settings, "block_ms": self._mode.clock.block_s * 1000, **on_cpu}

    def build(self, workload: Workload) -> None:
        """Raises Unmeasurable, ContextBroken, or NoDevice if the GPU is gone."""
        try:
            share = self._share(workload.key)
            execute = self._mode.prepare(workload.build(), workload.input_shapes, share, workload.is_part)
            self._mode.clock.time_s(execute, 1)
        except Exception as error:
            # The space's code is not ours: whatever it raises is an answer to the job, not a crash of the agent.
            said = f"{workload.label}: {type(error).__name__}: {error}"
            if self._device.type == "cuda":
                self._require_gpu(said)
            raise Unmeasurable(said) from error
        self._ready[workload.key] = execute
        self._labels[workload.key] = workload.label

    def pin(self) -> None:
        """Keep to the cores that are measured on, where that is a CPU; before, several may build beside each other."""
        if self._device.type == "cpu":
            self._cores = pin(self._threads)

    def settle(self, name: str) -> int:
        """Warm up a workload or reference; the executions that make a block of it. Raises NoDevice, Unmeasurable."""
        with self._gpu_may_fail(name):
            return settle(self._mode.clock, self._ready[name])

    def take(self, name: str, executions: int) -> Block:
        """Raises NoDevice if the GPU is gone or fails."""
        if self._placement:
            self._placement.move()
        with self._gpu_may_fail(name):
            return self._sampler.take(name, self._ready[name], executions)

    def device_us(self, name: str, executions: int) -> float | None:
        """The device's own time for an execution, where the clock's includes the host's launching.

        At most `executions` at a time are timed. Raises NoDevice.
        """
        clock = self._mode.clock
        if not isinstance(clock, CudaEventClock):
            return None
        with self._gpu_may_fail(name):
            device_s = clock.device_s(self._ready[name], executions)
        return None if device_s is None else device_s * 1e6

    def look(self) -> HostReading:
        """What the host did to this process so far."""
        return self._host.read()

    def collect(self) -> None:
        """Let the garbage be collected, between blocks."""
        gc.collect()

    def _share(self, name: str) -> Share:
        return partial(self._exports.get, name) if self._exports else alone

    @contextmanager
    def _gpu_may_fail(self, name: str) -> Iterator[None]:
        """An error from what has run here before is the GPU's, not the operation's, unless memory is short.

        What PyTorch, pycuda and ONNX Runtime raise has nothing in common.
        """
        try:
            yield
        except torch.cuda.OutOfMemoryError as error:
            raise Unmeasurable(f"{self._labels.get(name, name)}: {error}") from error
        except NoDevice:
            raise
        except Exception as error:
            if self._device.type == "cpu":
                raise
            if self._gpu:
                self._gpu.read()  # a GPU that is gone is named as such
            raise NoDevice(f"the GPU failed while measuring: {str(error).splitlines()[0]}") from error

    def _require_gpu(self, said: str) -> None:
        if self._gpu:
            self._gpu.read()
        try:
            torch.cuda.synchronize(self._device)
        except RuntimeError as error:  # errors of kernels stay until the process ends
            raise ContextBroken(said) from error


def pin(threads: int | None) -> str:
    """Keep this process to the last `threads` of its cores (interrupts favour the first); name its cores."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned"
    cores = sorted(os.sched_getaffinity(0))
    if threads and threads < len(cores):
        cores = cores[-threads:]
        for thread in os.listdir("/proc/self/task"):
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(int(thread), cores)
    return ",".join(ranges(cores))


def ranges(cores: Sequence[int]) -> Iterator[str]:
    """As Linux writes them: 0-3,8."""
    for _, group in groupby(enumerate(cores), lambda one: one[1] - one[0]):
        first, *more = (core for _, core in group)
        yield f"{first}-{more[-1]}" if more else f"{first}"
