"""Mode `pytorch-graph`: the module captured into a CUDA graph, replayed without the host."""

import torch

from latency_tables.contract import Runtime
from profiler_agent.runtimes.agreement import outputs_of, require_agreement
from profiler_agent.runtimes.interface import ModeEntry, Ran
from profiler_agent.runtimes.modes.pytorch import PyTorchMode
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Execute
from profiler_agent.timing.graph import CudaGraphClock


class PyTorchGraphMode(PyTorchMode):
    """Prepares modules as mode `pytorch` does; its clock captures them."""

    def __init__(self, runtime: Runtime, device: torch.device) -> None:
        super().__init__(runtime, device)
        self._precision = runtime.precision
        self.settings["replay"] = "all executions of a block in one graph"
        self._graphs = CudaGraphClock(device)
        self.clock = self._graphs

    def prepare(self, subject: Subject) -> Execute:
        """As PyTorchMode; the outputs of a captured graph are compared with those of the eager call.

        Raises:
            Mismatch: the graph computes something else.
        """
        execute = super().prepare(subject)
        expected = [output.clone() for output in outputs_of(execute())]
        require_agreement(outputs_of(self._graphs.outputs(execute)), expected, self._precision, "the captured graph")
        return execute


ENTRY = ModeEntry(
    PyTorchGraphMode,
    extra="agent",
    precisions={"cuda": ("fp32", "tf32", "fp16", "bf16")},
    ran={
        "cuda": Ran(
            "never run",
            "the comparison of captured with eager outputs, and the device-only time of eager mode, are tested on a "
            "simulated device",
        )
    },
)
