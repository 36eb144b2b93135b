"""The ONNX model that an engine is built from, in a precision."""

import torch

from latency_tables.contract import Precision
from profiler_agent.runtimes.exported.export import Exported, export
from profiler_agent.runtimes.exported.quantize import quantize
from profiler_agent.runtimes.subject import Subject


def model_of(subject: Subject, inputs: tuple[torch.Tensor, ...], precision: Precision) -> Exported:
    """Export a module for an engine: weights and inputs in half precision for fp16, with Q/DQ nodes for int8.

    Raises:
        RuntimeError: it cannot be exported or quantized.
    """
    exported = export(subject, inputs, torch.float16 if precision == "fp16" else torch.float32)
    return exported._replace(model=quantize(exported)) if precision == "int8" else exported
