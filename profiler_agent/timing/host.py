"""The host's clock, for devices that execute in the calling thread."""

import time

from profiler_agent.timing.block import Execute


class HostClock:
    """perf_counter_ns around the block: 5 ms make its resolution and its call invisible."""

    block_s = 0.005

    def time_s(self, execute: Execute, executions: int) -> float:
        start_ns = time.perf_counter_ns()
        for _ in range(executions):
            execute()
        return (time.perf_counter_ns() - start_ns) * 1e-9
