"""One block of one workload, with what the monitors saw of it."""

from profiler_agent.monitor import GpuMonitor, HostMonitor, NoDevice
from profiler_agent.rounds import Block
from profiler_agent.timing.block import Clock, Execute
from profiler_agent.trace import Doubt

WARM_SHARE = 0.1


class Sampler:
    """Takes blocks with one clock, watched by the host's monitor and, on a GPU, the GPU's."""

    def __init__(self, clock: Clock, host: HostMonitor, gpu: GpuMonitor | None) -> None:
        self._clock = clock
        self._host = host
        self._gpu = gpu

    def take(self, execute: Execute, executions: int) -> Block:
        """One block in the steady state: the caches, cold from other workloads, are warmed first.

        Raises NoDevice if the GPU is gone or fails.
        """
        if self._gpu is None:
            return self._take(execute, executions)
        try:
            return self._take(execute, executions)
        except RuntimeError as error:
            self._gpu.read()  # a GPU that is gone is named as such
            raise NoDevice(f"the GPU failed while measuring: {str(error).splitlines()[0]}") from error

    def _take(self, execute: Execute, executions: int) -> Block:
        self._clock.time_s(execute, max(1, round(executions * WARM_SHARE)))
        gpu_before = self._gpu.read() if self._gpu else None
        before = self._host.read()
        duration_s = self._clock.time_s(execute, executions)
        doubt = self._host.doubt(before, self._host.read(), duration_s)
        if self._gpu and gpu_before and self._gpu.doubt(gpu_before, self._gpu.read()) is Doubt.THROTTLED:
            doubt = Doubt.THROTTLED
        return Block(duration_s / executions * 1e6, doubt)
