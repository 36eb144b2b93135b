"""One block of one workload, with what the monitors saw of it."""

from collections import defaultdict, deque

from profiler_agent.doubt import Block, Doubt
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.machine.host_monitor import HostMonitor
from profiler_agent.timing.block import Clock, Execute

WARM_SHARE = 0.1
"""The share of a block's executions that warm it up at a time."""

WARM_MOST = 6
WARM_MOST_S = 0.3
"""Warming up ends with the execution that reaches this. What takes so long is warmed up before its first block only,
which allocates: refilling a cache is less than a hundredth of it."""

STEADY = 1.1
"""An operation is warm when it takes at most this factor of the fastest recent block; those follow the machine."""

RECENT_BLOCKS = 9


class Sampler:
    """Takes blocks with one clock, watched by the host's monitor and, on a GPU, the GPU's."""

    def __init__(self, clock: Clock, host: HostMonitor, gpu: GpuMonitor | None) -> None:
        self._clock = clock
        self._host = host
        self._gpu = gpu
        self._recent_s: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT_BLOCKS))

    def take(self, name: str, execute: Execute, executions: int) -> Block:
        """One block of `name` in the steady state: the caches, cold from other workloads, are warmed first.

        Raises AgentMustStop if the GPU is gone.
        """
        self._warm_up(name, execute, max(1, round(executions * WARM_SHARE)))
        gpu_before = self._gpu.read() if self._gpu else None
        before = self._host.read()
        duration_s = self._clock.time_s(execute, executions)
        doubt = self._host.doubt(before, self._host.read(), duration_s)
        if self._gpu and gpu_before:
            gpu_after = self._gpu.read()
            self._gpu.keep(name, gpu_after)
            if self._gpu.doubt(gpu_before, gpu_after) is Doubt.THROTTLED:
                doubt = Doubt.THROTTLED
        self._recent_s[name].append(duration_s / executions)
        return Block(duration_s / executions * 1e6, doubt)

    def _warm_up(self, name: str, execute: Execute, executions: int) -> None:
        """A last-level cache may keep buffers of megabytes only at the third or fourth time that they are touched."""
        recent_s = self._recent_s[name]
        steady_s = STEADY * min(recent_s) if recent_s else 0.0
        if recent_s and min(recent_s) >= WARM_MOST_S:
            return
        spent_s = 0.0
        for _ in range(WARM_MOST):
            duration_s = self._clock.time_s(execute, executions)
            spent_s += duration_s
            if duration_s / executions <= steady_s or spent_s >= WARM_MOST_S:
                return
