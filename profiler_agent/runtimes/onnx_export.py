"""The one way from a module to ONNX, for every mode that executes ONNX."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

OPSET = 18
"""The newest that ONNX Runtime 1.18 and TensorRT 8.6 both read, and the exporter's own since torch 2.6."""


class Exported(NamedTuple):
    """A serialized ModelProto, with the outputs that PyTorch gives for the inputs, in fp32 on the CPU."""

    model: bytes
    inputs: tuple[torch.Tensor, ...]
    expected: tuple[torch.Tensor, ...]


def export(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], dtype: torch.dtype) -> Exported:
    """Export a module (fp32, on the CPU) at the static shapes of its inputs, weights and inputs in `dtype`.

    Raises:
        RuntimeError: PyTorch's exporter cannot.
    """
    with torch.inference_mode():
        expected = outputs_of(module(*inputs))
    # Weights made in inference mode may not ask for gradients outside of it.
    converted = module.to(dtype).requires_grad_(False)
    arguments = tuple(item.to(dtype) for item in inputs)
    # Outside inference mode: torch.export functionalizes, which its tensors do not allow.
    with _quiet(), torch.inference_mode(False), torch.no_grad():
        plain = tuple(item.clone() for item in arguments)
        program = torch.onnx.export(converted, plain, dynamo=True, opset_version=OPSET, verbose=False)
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return Exported(program.model_proto.SerializeToString(), arguments, expected)


def outputs_of(value: object) -> tuple[torch.Tensor, ...]:
    """What a module returned, as a tuple of tensors.

    Raises:
        TypeError: it holds something else.
    """
    values = value if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(item, torch.Tensor) for item in values):
        raise TypeError("the module returns something other than tensors, which ONNX cannot express")
    return tuple(values)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter logs which optional packages it lacks, once an export."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
