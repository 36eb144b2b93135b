"""CUDA events: the device's own clock, from the first launch to the last kernel's end."""

import torch

from profiler_agent.timing.block import Execute

MAX_HELD_EXECUTIONS = 64
"""A launch queue holds about a thousand kernels; beyond that the host waits and nothing is held back any more."""
MAX_HOLD_CYCLES = 2**28


class CudaEventClock:
    """Events around the block in a stream of `device` (its current one by default), which is idle at the start.

    Host-inclusive: where launching is slower than executing, the device waits inside the block, and that
    is what an eager network pays too. Events resolve about 0.5 µs, so 2 ms a block are enough.
    """

    block_s = 0.002

    def __init__(self, device: torch.device, stream: torch.cuda.Stream | None = None) -> None:
        self._stream = torch.cuda.current_stream(device) if stream is None else stream
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._hold_cycles = 2**22

    def time_s(self, execute: Execute, executions: int) -> float:
        self._stream.synchronize()
        self._start.record(self._stream)
        for _ in range(executions):
            execute()
        self._end.record(self._stream)
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) * 1e-3

    def device_s(self, execute: Execute, executions: int) -> float | None:
        """Device-only seconds of one execution; None if it has more launches than the queue holds.

        The stream is held back by a waiting kernel until all launches are queued, so the device never waits for
        the host between the events.
        """
        held = min(executions, MAX_HELD_EXECUTIONS)
        while True:
            self._stream.synchronize()
            with torch.cuda.stream(self._stream):
                torch.cuda._sleep(self._hold_cycles)  # type: ignore[no-untyped-call]
            self._start.record(self._stream)
            for _ in range(held):
                execute()
            was_held = not self._start.query()  # type: ignore[no-untyped-call]
            self._end.record(self._stream)
            self._end.synchronize()
            if was_held:
                return float(self._start.elapsed_time(self._end)) * 1e-3 / held
            if self._hold_cycles < MAX_HOLD_CYCLES:
                self._hold_cycles *= 4
            elif held > 1:
                held = held // 4 or 1
            else:
                return None
