"""Mode `pytorch-graph`: the module captured into a CUDA graph, replayed without the host."""

import torch

from lut_server.schemas import Runtime
from profiler_agent.runtimes.pytorch import PyTorchMode, Unsupported
from profiler_agent.timing.graph import CudaGraphClock


class PyTorchGraphMode(PyTorchMode):
    """Prepares modules as mode `pytorch` does; its clock captures them.

    Raises:
        Unsupported: not a CUDA device, or as PyTorchMode.
    """

    def __init__(self, runtime: Runtime, device: torch.device) -> None:
        if device.type != "cuda":
            raise Unsupported("mode 'pytorch-graph': CUDA graphs need a CUDA device")
        super().__init__(runtime, device)
        self.settings["replay"] = "all executions of a block in one graph"
        self.clock = CudaGraphClock(device)
