"""Mode `onnxruntime`: the module exported to ONNX, executed by ONNX Runtime on CPU or CUDA."""

import torch

from latency_tables.contract import Runtime
from profiler_agent.runtimes.interface import ModeEntry, Ran, RuntimeMode


def _open(runtime: Runtime, device: torch.device) -> RuntimeMode:
    from profiler_agent.runtimes.exported.onnxruntime import OnnxRuntimeMode

    return OnnxRuntimeMode(runtime, device)


ENTRY = ModeEntry(
    _open,
    extra="onnx",
    precisions={"cpu": ("fp32",), "cuda": ("fp32", "tf32", "fp16")},
    ran={
        "cpu": Ran(
            "run",
            "all 95 operations of LGCNet, as they stand between convolutions, and 92 networks at 385×769 equal "
            "PyTorch's outputs within 1e-4 of their scale",
        ),
        "cuda": Ran("never run", ""),
    },
    distributions=("onnxruntime-gpu", "onnxruntime"),
)
