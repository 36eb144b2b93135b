"""An operation as ONNX Runtime executes it inside a network: between convolutions that speak its blocked layout.

On a CPU, ONNX Runtime keeps images in blocks of 8 or 16 channels (NCHWc) from one convolution to the next. An operation
alone brings its inputs into that layout and its output back, which may take as long as the operation itself and which
a network does at few places. So convolutions are set before every input and behind every output, the whole is
optimized, and they are cut off again. The nodes that are left are what the operation costs between convolutions, with
the conversions that it needs there: interpolation, for example, works on plain images.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from profiler_agent.runtimes.exported.export import OPSET
from profiler_agent.runtimes.exported.session import open_session, quiet_options

Shape = tuple[int, ...]

BLOCKED = "blocked_"
"""The prefix of the names of inputs and outputs that are in blocks."""

ALIGNED = 4
"""Convolutions read channels in blocks if their number is a multiple of this and fills at least one block."""

OUTER_CHANNELS = 4
"""The channels of the convolutions before and behind, on their other side."""

IR_VERSION = 8
"""The version that came with the opset."""

DOMAIN = "com.microsoft.nchwc"


def between_convolutions(model: bytes) -> bytes:
    """The optimized nodes of an operation in fp32 whose neighbours are convolutions.

    `model` has static shapes. Where nothing of it is in blocks, or nothing is left of it, it comes back as it is. The
    result is for this machine only; the names of its inputs and outputs that are in blocks begin with BLOCKED.
    """
    chain = onnx.load_from_string(model)
    inputs = {number: shape for number, value in enumerate(chain.graph.input) if _is_carried(shape := _shape(value))}
    outputs = {number: shape for number, value in enumerate(chain.graph.output) if _is_carried(shape := _shape(value))}
    for number, shape in inputs.items():
        _set_before(chain.graph, number, shape)
    for number, shape in outputs.items():
        _set_behind(chain.graph, number, shape)
    cut = _optimized(chain)
    graph = cut.graph
    try:
        for number, shape in inputs.items():
            _cut_before(graph, number, shape)
        for number, shape in outputs.items():
            _cut_behind(graph, number, shape)
    except LookupError:
        return model
    names = {value.name for value in graph.input}, {value.name for value in graph.output}
    if names[0] & names[1] or not any(name.startswith(BLOCKED) for name in names[0] | names[1]):
        return model
    _tidy(graph)
    result: bytes = cut.SerializeToString()
    return result


def to_blocks(plain: torch.Tensor) -> torch.Tensor:
    """Images N×C×H×W in blocks: N×C'×H×W with C' channels in whole blocks, the last one filled up with zeros."""
    count, channels, height, width = plain.shape
    block = block_channels()
    filled = torch.nn.functional.pad(plain, (0, 0, 0, 0, 0, -channels % block))
    blocks = filled.view(count, -1, block, height, width).permute(0, 1, 3, 4, 2)
    return blocks.reshape(filled.shape)


def from_blocks(blocked: torch.Tensor, channels: int) -> torch.Tensor:
    """The inverse of `to_blocks`: plain images of so many channels."""
    count, _, height, width = blocked.shape
    blocks = blocked.view(count, -1, height, width, block_channels()).permute(0, 1, 4, 2, 3)
    return blocks.reshape(blocked.shape)[:, :channels]


@cache
def block_channels() -> int:
    """Channels in a block, as a convolution shows it; 1 where ONNX Runtime has no blocked layout for this machine."""
    graph = helper.make_graph([], "one", [_value("x", (1, 4, 8, 8))], [_value("y", (1, 4, 8, 8))])
    graph.node.append(_convolution(graph, "x", "y", 4, 4))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    optimized = _optimized(model).graph
    return int(optimized.initializer[0].dims[0]) if optimized.node[0].domain == DOMAIN else 1


def _is_carried(shape: Shape) -> bool:
    """Whether convolutions pass images of this shape on in blocks."""
    return len(shape) == 4 and shape[1] >= block_channels() and shape[1] % ALIGNED == 0


def _set_before(graph: GraphProto, number: int, shape: Shape) -> None:
    """Convolution and ReLU, so that nothing of the operation fuses with them."""
    name, outer = graph.input[number].name, f"outer_input_{number}"
    convolution = _convolution(graph, outer, f"{outer}_summed", OUTER_CHANNELS, shape[1])
    graph.node.insert(0, helper.make_node("Relu", [f"{outer}_summed"], [name]))
    graph.node.insert(0, convolution)
    graph.input[number].CopyFrom(_value(outer, (shape[0], OUTER_CHANNELS, *shape[2:])))


def _set_behind(graph: GraphProto, number: int, shape: Shape) -> None:
    name, outer = graph.output[number].name, f"outer_output_{number}"
    graph.node.append(_convolution(graph, name, outer, shape[1], OUTER_CHANNELS))
    graph.output[number].CopyFrom(_value(outer, (shape[0], OUTER_CHANNELS, *shape[2:])))


def _cut_before(graph: GraphProto, number: int, shape: Shape) -> None:
    convolution = _single(node for node in graph.node if graph.input[number].name in node.input)
    graph.node.remove(convolution)
    _rename(graph, graph.input[number], convolution, convolution.output[0], f"input_{number}", shape)


def _cut_behind(graph: GraphProto, number: int, shape: Shape) -> None:
    last = _producer(graph, graph.output[number].name)
    if last.op_type == "ReorderOutput":
        graph.node.remove(last)
        last = _producer(graph, last.input[0])
    graph.node.remove(last)
    _rename(graph, graph.output[number], last, last.input[0], f"output_{number}", shape)


def _rename(graph: GraphProto, end: ValueInfoProto, cut: NodeProto, tensor: str, name: str, shape: Shape) -> None:
    """Make `tensor`, where `cut` was, an input or output of the graph: in blocks where the convolution has them so."""
    if cut.domain == DOMAIN:
        name, shape = BLOCKED + name, (shape[0], shape[1] + -shape[1] % block_channels(), *shape[2:])
    end.CopyFrom(_value(name, shape))
    for node in graph.node:
        node.input[:] = [name if other == tensor else other for other in node.input]
        node.output[:] = [name if other == tensor else other for other in node.output]
    for other in (*graph.input, *graph.output):
        if other.name == tensor:
            other.name = name


def _producer(graph: GraphProto, tensor: str) -> NodeProto:
    return _single(node for node in graph.node if tensor in node.output)


def _single(nodes: Iterable[NodeProto]) -> NodeProto:
    """Raises LookupError unless there is exactly one: the input is not used, or the output is constant."""
    matches = list(nodes)
    if len(matches) != 1:
        raise LookupError(f"{len(matches)} nodes")
    return matches[0]


def _convolution(graph: GraphProto, source: str, target: str, channels: int, out_channels: int) -> NodeProto:
    """1×1, with its weights in the graph."""
    weight = np.full((out_channels, channels, 1, 1), 1 / channels, np.float32)
    graph.initializer.append(numpy_helper.from_array(weight, f"{target}_weight"))
    return helper.make_node("Conv", [source, f"{target}_weight"], [target])


def _tidy(graph: GraphProto) -> None:
    """Remove what nothing refers to any more."""
    used = {name for node in graph.node for name in node.input}
    initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(initializers)


def _shape(value: ValueInfoProto) -> Shape:
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)


def _value(name: str, shape: Shape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _optimized(model: ModelProto) -> ModelProto:
    """By all of ONNX Runtime's optimizations for this CPU."""
    with TemporaryDirectory(prefix="optimized-") as folder:
        options = quiet_options()
        options.intra_op_num_threads = 1
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        open_session(model.SerializeToString(), options)
        return onnx.load(options.optimized_model_filepath)
