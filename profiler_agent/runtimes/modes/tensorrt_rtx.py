"""Mode `tensorrt-rtx`: the module exported to ONNX, as an engine of TensorRT for RTX, on a GPU."""

import torch

from latency_tables.contract import Runtime
from profiler_agent.runtimes.engines.library import TENSORRT_RTX
from profiler_agent.runtimes.interface import ModeEntry, Ran, RuntimeMode


def _open(runtime: Runtime, device: torch.device) -> RuntimeMode:
    from profiler_agent.runtimes.engines.execution import EngineMode

    return EngineMode(TENSORRT_RTX, runtime, device)


ENTRY = ModeEntry(
    _open,
    extra="tensorrt-rtx",
    precisions={"cuda": ("fp32", "tf32", "fp16", "int8")},
    ran={
        "cuda": Ran(
            "built",
            "every kind of operation of LGCNet and of the mobile space, without a GPU, for 7.5 (but no matrix product "
            "in fp32), 8.6, 8.9 and 12.0; loading and executing **never run**: their control flow is tested against a "
            "replacement",
        )
    },
    distributions=("tensorrt-rtx-cu12", "tensorrt-rtx-cu13", "tensorrt-rtx"),
)
