"""Mode `tensorrt`: the module exported to ONNX, as an engine of TensorRT, on a GPU."""

import torch

from latency_tables.contract import Runtime
from profiler_agent.runtimes.engines.library import TENSORRT
from profiler_agent.runtimes.interface import ModeEntry, Ran, RuntimeMode


def _open(runtime: Runtime, device: torch.device) -> RuntimeMode:
    from profiler_agent.runtimes.engines.execution import EngineMode

    return EngineMode(TENSORRT, runtime, device)


ENTRY = ModeEntry(
    _open,
    extra="tensorrt",
    precisions={"cuda": ("fp32", "tf32", "fp16", "int8")},
    ran={
        "cuda": Ran(
            "never run",
            "every name used was looked up in the bindings of 8.6.1, 10.13 and 11.4; its code is that of "
            "`tensorrt-rtx`, which builds here",
        )
    },
    distributions=("tensorrt",),
)
