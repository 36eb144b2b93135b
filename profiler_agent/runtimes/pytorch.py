"""Mode `pytorch`: the module called eagerly, on CPU or CUDA."""

import os

import torch

from latency_tables.contract import Runtime, Scalar
from profiler_agent.runtimes.exports import Share, alone
from profiler_agent.runtimes.inputs import RandomInputs, Shapes
from profiler_agent.timing.block import Clock, Execute
from profiler_agent.timing.cuda import CudaEventClock
from profiler_agent.timing.host import HostClock

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Unsupported(Exception):
    """A runtime that this machine or this agent cannot do; the message says why."""


class PyTorchMode:
    """Calls modules in `runtime.precision` on `device`.

    Raises:
        Unsupported: the precision or the thread count is not to be had here.
    """

    def __init__(self, runtime: Runtime, device: torch.device) -> None:
        if runtime.precision not in DTYPES:
            raise Unsupported(f"precision {runtime.precision!r}: mode {runtime.mode!r} has {', '.join(DTYPES)}")
        require_runtime(runtime, device)
        self._dtype = DTYPES[runtime.precision]
        self._device = device
        self._inputs = RandomInputs(device, self._dtype)
        self.settings: dict[str, Scalar] = {
            "memory_format": "contiguous",
            "batch_norm": "as the space deploys it",
        }
        if device.type == "cuda":
            tf32 = runtime.precision == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cudnn.allow_tf32 = tf32
            # Shapes are fixed, so a deployed network lets cuDNN choose by trying; so do we.
            torch.backends.cudnn.benchmark = True
            self.settings["cudnn_benchmark"] = True
            self.clock: Clock = CudaEventClock(device)
        else:
            threads = runtime.threads or available_cores()
            torch.set_num_threads(threads)
            self.settings["threads"] = threads
            self.clock = HostClock()

    def prepare(
        self, module: torch.nn.Module, input_shapes: Shapes, share: Share = alone, is_part: bool = False
    ) -> Execute:
        """Move a module here and bind random inputs of these shapes (with the batch dimension)."""
        del share, is_part  # there is nothing to export, and eager kernels run alike wherever they stand
        ready = module.to(device=self._device, dtype=self._dtype).eval()
        inputs = self._inputs(input_shapes)
        return lambda: ready(*inputs)


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require_runtime(runtime: Runtime, device: torch.device) -> None:
    """What every mode asks of precision and threads.

    Raises:
        Unsupported: the device has not got it.
    """
    precision = runtime.precision
    if device.type == "cpu":
        if precision == "tf32":
            raise Unsupported("precision 'tf32': CPUs have none; take fp32")
        if runtime.threads and runtime.threads > available_cores():
            raise Unsupported(f"threads={runtime.threads}: this agent may use {available_cores()} cores")
        return
    if runtime.threads is not None:
        raise Unsupported(f"threads={runtime.threads}: threads are for CPUs; leave it out on a GPU")
    capability = torch.cuda.get_device_capability(device)
    if precision in ("tf32", "bf16") and capability < (8, 0):
        raise Unsupported(f"precision {precision!r}: needs compute capability 8.0, this GPU has {capability}")
