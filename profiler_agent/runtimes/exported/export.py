"""The one way from a module to ONNX, for every mode that executes ONNX."""

import logging
import warnings
from ast import literal_eval
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from onnx import ModelProto

from profiler_agent.runtimes.agreement import outputs_of
from profiler_agent.runtimes.subject import Subject

OPSET = 18
"""The newest opset that ONNX Runtime 1.18 and TensorRT 8.6 both read; the exporter's default since torch 2.6."""
SCOPES = "pkg.torch.onnx.name_scopes"
"""The exporter's property of a node: the path of its module, from the outermost in."""

MAX_BYTES = 2**31 - 2**20
"""A serialized message of protobuf has at most 2 GiB, with the graph."""


class Exported(NamedTuple):
    """A serialized ModelProto, with the outputs that PyTorch gives for the inputs, in fp32 on the CPU."""

    model: bytes
    inputs: tuple[torch.Tensor, ...]
    expected: tuple[torch.Tensor, ...]


def export(
    subject: Subject,
    inputs: tuple[torch.Tensor, ...],
    dtype: torch.dtype,
    finish: Callable[[bytes], bytes] = bytes,
) -> Exported:
    """Export a module at the static shapes of its inputs, weights and inputs in `dtype`.

    Processes share the model that `finish` makes of the exported one.

    Raises:
        RuntimeError: PyTorch's exporter cannot.
    """
    module = subject.module.eval()
    weights_bytes = dtype.itemsize * sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers()))
    if weights_bytes > MAX_BYTES:
        raise RuntimeError(
            f"its weights take {weights_bytes / 2**30:.1f} GiB, an ONNX model in one piece holds 2; mode pytorch has "
            "no such limit"
        )
    with torch.inference_mode():
        # On copies: the inputs are shared, and a module may write to its own.
        expected = outputs_of(module(*(tensor.clone() for tensor in inputs)))
    arguments = tuple(tensor.to(dtype) for tensor in inputs)
    model = subject.share(lambda: finish(_model(module, arguments, dtype)))
    return Exported(model, arguments, expected)


def _model(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], dtype: torch.dtype) -> bytes:
    # Weights made in inference mode may not ask for gradients outside of it.
    converted = module.to(dtype).requires_grad_(False)
    # Outside inference mode: torch.export functionalizes, which its tensors do not allow.
    with _quiet(), torch.inference_mode(False), torch.no_grad():
        plain = tuple(tensor.clone() for tensor in arguments)
        program = torch.onnx.export(converted, plain, dynamo=True, opset_version=OPSET, verbose=False)
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = program.model_proto
    _name_by_module(model)
    content: bytes = model.SerializeToString()
    return content


def _name_by_module(model: ModelProto) -> None:
    """Name nodes by the module that they come from and their operator, as Kernel has them: `cell3.layers.0/Conv`."""
    names: Counter[str] = Counter()
    for node in model.graph.node:
        properties = {entry.key: entry.value for entry in node.metadata_props}
        # The modules from the whole down to the node's own, whose last entry is the node itself.
        scopes = literal_eval(properties.get(SCOPES, "[]"))
        name = f"{scopes[-2] if len(scopes) > 1 else ''}/{node.op_type}"
        names[name] += 1
        node.name = name if names[name] == 1 else f"{name}#{names[name]}"
        # Stack traces name this machine's folders: without them equal modules make equal models everywhere.
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]


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
