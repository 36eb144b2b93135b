"""CUDA events: the device's own clock, from the first launch to the last kernel's end."""

from statistics import median

import torch

from profiler_agent.timing.block import Execute

HELD_EXECUTIONS = (64, 4, 1)
"""A launch queue holds about a thousand kernels; where it is full the host waits and nothing is held back any more."""
HOLD_CYCLES = (2**22, 2**25, 2**28)
"""Of the device's clock: some 3, 20 and 170 ms."""
HELD_BLOCKS = 9


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

    def time_s(self, execute: Execute, executions: int) -> float:
        self._stream.synchronize()
        self._start.record(self._stream)
        for _ in range(executions):
            execute()
        self._end.record(self._stream)
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) * 1e-3

    def device_s(self, execute: Execute, executions: int) -> float | None:
        """Device-only seconds of one execution (median of a few blocks); None if it cannot be had.

        A waiting kernel holds the stream back until all launches of a block are queued, so the device never waits for
        the host between the events. An operation of more launches than the queue holds defeats that. A block has at
        most `executions`.
        """
        for count in dict.fromkeys(min(most, executions) for most in HELD_EXECUTIONS):
            for cycles in HOLD_CYCLES:
                if self._held_s(execute, count, cycles) is not None:
                    blocks = (self._held_s(execute, count, cycles) for _ in range(HELD_BLOCKS))
                    held = [block_s for block_s in blocks if block_s is not None]
                    return median(held) / count if held else None
        return None

    def _held_s(self, execute: Execute, executions: int, cycles: int) -> float | None:
        """Seconds of a block whose launches were all queued before its start; None if the start did not wait."""
        self._stream.synchronize()
        with torch.cuda.stream(self._stream):
            torch.cuda._sleep(cycles)  # type: ignore[no-untyped-call]
        self._start.record(self._stream)
        for _ in range(executions):
            execute()
        was_held = not self._start.query()  # type: ignore[no-untyped-call]
        self._end.record(self._stream)
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) * 1e-3 if was_held else None
