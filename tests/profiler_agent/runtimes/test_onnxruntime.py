"""Export and execution by ONNX Runtime on the CPU, of the whole LGCNet space at a small size."""

import math
from collections.abc import Callable
from typing import get_args

import onnx
import onnxruntime as ort
import pytest
import torch

from latency_tables.contract import Precision, Runtime
from lgcnet_search.space import plugin
from lgcnet_search.space.genotype import random_genotype
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes.agreement import TOLERANCE_REL, Mismatch, error_rel, require_agreement
from profiler_agent.runtimes.exported.blocked_layout import (
    BLOCKED,
    between_convolutions,
    block_channels,
    from_blocks,
    to_blocks,
)
from profiler_agent.runtimes.exported.export import export
from profiler_agent.runtimes.exports import ShareExport
from profiler_agent.runtimes.interface import RuntimeMode
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.runtimes.subject import Subject

CPU = torch.device("cpu")
SPACE = Space(height=65, width=129)

as_slow_as_a_process = pytest.mark.process  # exports of many modules, which make quick leaves out as well
needs_blocks = pytest.mark.skipif(block_channels() == 1, reason="ONNX Runtime has no blocked layout on this machine")


@pytest.fixture
def mode() -> RuntimeMode:
    return open_mode(Runtime(mode="onnxruntime", threads=1), CPU)


def collect_into(models: list[bytes]) -> ShareExport:
    def share(export: Callable[[], bytes]) -> bytes:
        models.append(export())
        return models[-1]

    return share


@as_slow_as_a_process
def test_a_derived_network_computes_what_pytorch_does_and_keeps_what_its_logits_do_not_need(mode: RuntimeMode) -> None:
    """Where edges from a cell are all zero, what it gives is used by nothing; Eq. 9 sums it all the same."""
    images = torch.randn(1, *SPACE.input_shape)
    networks = (plugin.build_network(network_spec(random_genotype(SPACE, seed))) for seed in range(20))
    network = next(network for network in networks if len(network(images)) > 1)
    models: list[bytes] = []
    with torch.inference_mode():
        mode.prepare(Subject(network, ((2, *SPACE.input_shape),), share=collect_into(models)))()
    exported = onnx.load_from_string(models[0]).graph
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == sum(node.op_type == "Conv" for node in exported.node)


def test_executions_on_a_cpu_are_given_no_run_options(mode: RuntimeMode, monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost 30 µs each, in every row and once in every network, so that sums were far too large."""
    given: list[object] = []
    run = ort.InferenceSession.run_with_iobinding

    def seen(session: ort.InferenceSession, binding: ort.IOBinding, options: ort.RunOptions | None = None) -> None:
        given.append(options)
        run(session, binding, options)

    monkeypatch.setattr(ort.InferenceSession, "run_with_iobinding", seen)
    mode.prepare(Subject(torch.nn.ReLU(), ((1, 8, 8, 8),)))()
    assert len(given) > 1
    assert not any(given)


def test_the_export_keeps_static_shapes_and_the_outputs() -> None:
    exported = export(Subject(torch.nn.Conv2d(3, 5, 3), ()), (torch.randn(2, 3, 8, 8),), torch.float16)
    assert exported.expected[0].dtype == torch.float32
    assert exported.expected[0].shape == (2, 5, 6, 6)
    assert exported.inputs[0].dtype == torch.float16
    assert len(exported.model) > 3 * 5 * 9 * 2


@needs_blocks
@pytest.mark.parametrize(
    ("kind", "nodes"),
    [
        ("conv_1x1", ["Conv"]),
        ("sep_conv_3x3", ["Conv", "Conv"]),
        ("add", ["Add"]),
        ("interpolate", ["ReorderOutput", "Resize", "ReorderInput"]),
    ],
)
def test_what_is_left_between_convolutions_is_the_operation(kind: str, nodes: list[str]) -> None:
    operation = next(operation for operation in SPACE.operations if operation.name == kind)
    inputs = tuple(torch.randn(1, *shape) for shape in operation.input_shapes)
    model = export(Subject(plugin.build_operation(operation), ()), inputs, torch.float32).model
    left = onnx.load_from_string(between_convolutions(model)).graph
    assert [node.op_type for node in left.node] == nodes
    assert all(value.name.startswith(BLOCKED) for value in (*left.input, *left.output))


class Doubled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) * 2


class Constant(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(x.shape)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (Doubled(), (2, 32, 5, 7)),  # begins with what would fuse with the convolution before it
        (torch.nn.Identity(), (2, 32, 5, 7)),  # nothing is left of it
        (Constant(), (2, 32, 5, 7)),  # uses no input
        (torch.nn.Conv2d(3, 5, 3), (2, 3, 8, 8)),  # channels that fill no block
        (torch.nn.Linear(6, 32), (4, 6)),  # no images
    ],
)
def test_any_module_can_be_a_part(mode: RuntimeMode, module: torch.nn.Module, shape: tuple[int, ...]) -> None:
    with torch.inference_mode():
        mode.prepare(Subject(module, (shape,), is_part=True))()


@needs_blocks
@pytest.mark.parametrize("channels", [1, 16, 20, 33])
def test_blocks_hold_what_was_put_into_them(channels: int) -> None:
    images = torch.randn(2, channels, 3, 5)
    blocked = to_blocks(images)
    assert blocked.shape[1] % block_channels() == 0
    assert torch.equal(from_blocks(blocked, channels), images)
    # Channels of one pixel lie side by side.
    assert torch.equal(blocked.flatten()[: min(channels, block_channels())], images[0, : block_channels(), 0, 0])


class Drifting(torch.nn.Module):
    """Traced as it is exported, it adds another number than it did when it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + float(self.calls)


def test_an_exported_module_that_computes_something_else_is_refused(mode: RuntimeMode) -> None:
    with torch.inference_mode(), pytest.raises(Mismatch, match=r"ONNX Runtime gives .*, PyTorch "):
        mode.prepare(Subject(Drifting(), ((1, 4),)))


@pytest.mark.parametrize("precision", get_args(Precision))
def test_agreement_is_judged_by_the_precision(precision: Precision) -> None:
    expected = torch.tensor([1.0, -50.0])
    tolerance = TOLERANCE_REL[precision]
    require_agreement([expected + 50 * tolerance * 0.9], [expected], precision, "here")
    with pytest.raises(Mismatch, match="differs"):
        require_agreement([expected + 50 * tolerance * 1.2], [expected], precision, "here")
    with pytest.raises(Mismatch, match="inf"):
        require_agreement([torch.tensor([1.0, torch.nan])], [expected], precision, "here")
    with pytest.raises(Mismatch, match="shape"):
        require_agreement([expected[:1]], [expected], precision, "here")


def test_an_error_is_relative_to_the_scale_of_the_output() -> None:
    assert error_rel(torch.tensor([0.0, 101.0]), torch.tensor([0.0, 100.0])) == pytest.approx(0.01)
    assert error_rel(torch.zeros(3), torch.zeros(3)) == 0.0
    assert error_rel(torch.zeros(1), torch.tensor([torch.nan])) == math.inf


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16", "int8"])
def test_a_cpu_has_fp32_only(precision: str) -> None:
    with pytest.raises(JobFailed, match=precision):
        open_mode(Runtime.model_validate({"mode": "onnxruntime", "precision": precision}), CPU)


class Classes(torch.nn.Module):
    """As deployed segmentation networks end."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.convolution(x).argmax(1), (x > 0).any(1)


def test_outputs_are_bound_with_their_own_type() -> None:
    with torch.inference_mode():
        mode = open_mode(Runtime(mode="onnxruntime", threads=1), torch.device("cpu"))
        mode.prepare(Subject(Classes().eval(), ((1, 16, 8, 8),)))()


def test_equal_infinities_and_nans_agree() -> None:
    values = torch.tensor([1.0, math.nan, math.inf, -math.inf])
    require_agreement([values], [values.clone()], "fp32", "x")
    require_agreement([torch.full((3,), math.nan)], [torch.full((3,), math.nan)], "fp32", "x")
    for other in ([1.0, 0.0, math.inf, -math.inf], [1.0, math.nan, -math.inf, -math.inf], [1.1, *values[1:].tolist()]):
        with pytest.raises(Mismatch):
            require_agreement([torch.tensor(other)], [values], "fp32", "x")


def test_classes_may_differ_where_two_are_nearly_even() -> None:
    classes = torch.arange(10_000) % 7
    few, many = classes.clone(), classes.clone()
    few[:5] += 1
    many[:50] += 1
    require_agreement([few], [classes], "fp32", "x")
    with pytest.raises(Mismatch, match=r"int64.*differs in 0.50% of its elements"):
        require_agreement([many], [classes], "fp32", "x")


def test_weights_that_no_onnx_model_holds_are_refused_at_once() -> None:
    with torch.device("meta"):
        module = torch.nn.Linear(24_000, 24_000)
    with pytest.raises(RuntimeError, match=r"take 2.1 GiB, an ONNX model in one piece holds 2; mode pytorch"):
        export(Subject(module, ((1, 24_000),)), (), torch.float32)
