"""Mode `pytorch-graph`: the module captured into a CUDA graph, replayed without the host."""

import torch

from latency_tables.contract import Runtime
from profiler_agent.runtimes.agreement import outputs_of, require_agreement
from profiler_agent.runtimes.exports import Share, alone
from profiler_agent.runtimes.inputs import Shapes
from profiler_agent.runtimes.pytorch import PyTorchMode, Unsupported
from profiler_agent.timing.block import Execute
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
        self._precision = runtime.precision
        self.settings["replay"] = "all executions of a block in one graph"
        self._graphs = CudaGraphClock(device)
        self.clock = self._graphs

    def prepare(
        self, module: torch.nn.Module, input_shapes: Shapes, share: Share = alone, is_part: bool = False
    ) -> Execute:
        """As PyTorchMode; what a captured graph gives is compared with what the eager call gives.

        Raises:
            Mismatch: the graph computes something else.
        """
        execute = super().prepare(module, input_shapes, share, is_part)
        expected = [output.clone() for output in outputs_of(execute())]
        require_agreement(outputs_of(self._graphs.outputs(execute)), expected, self._precision, "the captured graph")
        return execute
