"""A model opened by ONNX Runtime, with one kind of exception."""

from collections.abc import Sequence
from typing import TypeAlias

import onnxruntime as ort

Provider: TypeAlias = str | tuple[str, dict[str, str]]


def quiet_options() -> ort.SessionOptions:
    """All graph optimizations; only errors are logged."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return options


def open_session(
    model: bytes, options: ort.SessionOptions, providers: Sequence[Provider] = ("CPUExecutionProvider",)
) -> ort.InferenceSession:
    """Raises RuntimeError with what ONNX Runtime says."""
    try:
        return ort.InferenceSession(model, options, providers=list(providers))
    except Exception as error:  # ONNX Runtime's own exceptions share no base class of theirs
        raise RuntimeError(f"ONNX Runtime: {error}") from error
