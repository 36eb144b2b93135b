"""The GPU's memory, stream and events for engines: PyTorch's, or pycuda's."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from profiler_agent.runtimes.engines.library import Library
from profiler_agent.timing.block import Clock, Execute
from profiler_agent.timing.cuda import CudaEventClock

Array = npt.NDArray[Any]


class GpuMemory(Protocol):
    """One buffer for each name and shape of arrays, and a stream that engines run in.

    Contexts of engines hold addresses only, so this owns the buffers; what is equal in both shares one.
    """

    clock: Clock

    @property
    def stream(self) -> int:
        """The address of the stream."""
        ...

    def upload(self, name: str, values: Array) -> int:
        """Copy an array to the GPU; the address of its buffer."""
        ...

    def download(self, name: str, like: Array) -> Array:
        """What the buffer of this name, shape and type holds once the stream is idle."""
        ...


class TorchMemory:
    """Tensors of PyTorch, and a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._buffers: dict[tuple[str, tuple[int, ...], torch.dtype], torch.Tensor] = {}
        self.clock: Clock = CudaEventClock(device, self._stream)

    @property
    def stream(self) -> int:
        return int(self._stream.cuda_stream)

    def upload(self, name: str, values: Array) -> int:
        tensor = torch.from_numpy(values)
        key = (name, tuple(tensor.shape), tensor.dtype)
        buffer = self._buffers.setdefault(key, tensor.to(self._device))
        return buffer.copy_(tensor).data_ptr()

    def download(self, name: str, like: Array) -> Array:
        self._stream.synchronize()
        tensor = torch.from_numpy(like)
        return self._buffers[name, tuple(tensor.shape), tensor.dtype].cpu().numpy()


class PycudaMemory:
    """pycuda's allocations, stream and events, in the context that PyTorch has: two would split the GPU.

    Raises:
        ImportError: pycuda is not installed.
    """

    def __init__(self, device: torch.device) -> None:
        import pycuda.driver as cuda

        self._cuda = cuda
        cuda.init()
        self._context = cuda.Device(device.index or 0).retain_primary_context()
        self._context.push()
        self._stream = cuda.Stream()
        self._buffers: dict[tuple[str, tuple[int, ...], str], Any] = {}
        self.clock: Clock = PycudaEventClock(cuda, self._stream)

    @property
    def stream(self) -> int:
        return int(self._stream.handle)

    def upload(self, name: str, values: Array) -> int:
        key = (name, values.shape, values.dtype.str)
        if key not in self._buffers:
            self._buffers[key] = self._cuda.mem_alloc(values.nbytes)
        self._cuda.memcpy_htod(self._buffers[key], values)
        return int(self._buffers[key])

    def download(self, name: str, like: Array) -> Array:
        self._stream.synchronize()
        values = np.empty_like(like)
        self._cuda.memcpy_dtoh(values, self._buffers[name, like.shape, like.dtype.str])
        return values


class PycudaEventClock:
    """pycuda's events around the block, in its own stream, which is idle at the start."""

    block_s = 0.002

    def __init__(self, cuda: Any, stream: Any) -> None:
        self._stream = stream
        self._start = cuda.Event()
        self._end = cuda.Event()

    def time_s(self, execute: Execute, executions: int) -> float:
        self._stream.synchronize()
        self._start.record(self._stream)
        for _ in range(executions):
            execute()
        self._end.record(self._stream)
        self._end.synchronize()
        return float(self._start.time_till(self._end)) * 1e-3


def open_memory(library: Library, device: torch.device) -> GpuMemory:
    """The memory that a library is driven with. Raises ImportError as PycudaMemory."""
    return PycudaMemory(device) if library.memory == "pycuda" else TorchMemory(device)
