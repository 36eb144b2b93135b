"""CUDA events: the device's own clock, from the first launch to the last kernel's end."""

import torch

from profiler_agent.timing.block import Execute


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
