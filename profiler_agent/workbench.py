"""Workloads built, warm and ready, in this process: takes a block of any of them when told."""

import gc
import os

import torch

from lut_server.schemas import Runtime, Scalar
from profiler_agent.monitor import GpuMonitor, HostMonitor
from profiler_agent.references import references
from profiler_agent.rounds import Block
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.sampling import Sampler
from profiler_agent.timing.block import Execute, settle
from profiler_agent.workload import Workload


class Unmeasurable(Exception):
    """An operation or network that does not build or run here; the message names it."""


class Workbench:
    """Executes in `runtime` on `device`; to be used under inference_mode, with garbage collection off.

    Raises:
        Unsupported: this machine cannot do the runtime.
    """

    def __init__(self, runtime: Runtime, device: torch.device, gpu: GpuMonitor | None) -> None:
        self.cores = pin(runtime.threads) if device.type == "cpu" else None
        self._mode = open_mode(runtime, device)
        self._sampler = Sampler(self._mode.clock, HostMonitor(), gpu)
        self._ready: dict[str, Execute] = {}
        for name, reference in references(device).items():
            self._ready[name] = self._mode.prepare(reference.module, reference.input_shapes)

    @property
    def settings(self) -> dict[str, Scalar]:
        """What the mode and the clock add to the method of every measurement."""
        cores: dict[str, Scalar] = {"cores": self.cores} if self.cores else {}
        return {**self._mode.settings, "block_ms": self._mode.clock.block_s * 1000, **cores}

    def build(self, workload: Workload) -> None:
        """Raises Unmeasurable."""
        try:
            execute = self._mode.prepare(workload.build(), workload.input_shapes)
            self._mode.clock.time_s(execute, 1)
        except (ValueError, TypeError, RuntimeError, LookupError, NotImplementedError, MemoryError) as error:
            # The space's code is not ours: whatever it raises is an answer to the job, not a crash of the agent.
            raise Unmeasurable(f"{workload.label}: {type(error).__name__}: {error}") from error
        self._ready[workload.key] = execute

    def settle(self, name: str) -> int:
        """Warm up a workload or reference; the executions that make a block of it."""
        return settle(self._mode.clock, self._ready[name])

    def take(self, name: str, executions: int) -> Block:
        return self._sampler.take(self._ready[name], executions)

    def collect(self) -> None:
        """Let the garbage be collected, between blocks."""
        gc.collect()


def pin(threads: int | None) -> str:
    """Keep this process to the last `threads` of its cores (interrupts favour the first); name its cores."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned"
    cores = sorted(os.sched_getaffinity(0))
    if threads and threads < len(cores):
        cores = cores[-threads:]
        os.sched_setaffinity(0, cores)
    return ",".join(map(str, cores))
