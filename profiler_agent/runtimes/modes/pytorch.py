"""Mode `pytorch`: the module called eagerly, on CPU or CUDA."""

from collections.abc import Callable
from functools import partial

import torch

from latency_tables.contract import Kernel, Runtime, Scalar
from profiler_agent.runtimes.inputs import RandomInputs
from profiler_agent.runtimes.interface import ModeEntry, Ran
from profiler_agent.runtimes.requirements import available_cores
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Clock, Execute
from profiler_agent.timing.cuda import CudaEventClock
from profiler_agent.timing.host import HostClock

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class PyTorchMode:
    """Calls modules in `runtime.precision` on `device`. Eager kernels run alike alone and as parts of networks."""

    def __init__(self, runtime: Runtime, device: torch.device) -> None:
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

    def prepare(self, subject: Subject) -> Execute:
        """Move a module here and bind random inputs.

        Raises:
            WritesToInput: it computes in place on its input. A network, which takes long, says so when it is executed
                for the first time.
        """
        module = subject.module.to(device=self._device, dtype=self._dtype).eval()
        if subject.is_part:
            _, inputs = self._inputs.intact_for(module, subject.input_shapes)
            return lambda: module(*inputs)
        return _OnceChecked(module, partial(self._inputs.intact_for, module, subject.input_shapes))

    def kernels(self, execute: Execute) -> tuple[Kernel, ...] | None:
        """None: eager PyTorch fuses nothing."""
        del execute
        return None


class _OnceChecked:
    """A network whose first execution is the one that shows which inputs it may have."""

    def __init__(self, module: torch.nn.Module, first: Callable[[], tuple[object, tuple[torch.Tensor, ...]]]) -> None:
        self._module = module
        self._first = first
        self._inputs: tuple[torch.Tensor, ...] | None = None

    def __call__(self) -> object:
        if self._inputs is None:
            outputs, self._inputs = self._first()
            return outputs
        return self._module(*self._inputs)


ENTRY = ModeEntry(
    PyTorchMode,
    extra="agent",
    precisions={"cpu": ("fp32", "fp16", "bf16"), "cuda": ("fp32", "tf32", "fp16", "bf16")},
    ran={"cpu": Ran("run", "torch 2.13 and 2.7.1"), "cuda": Ran("never run", "")},
)
