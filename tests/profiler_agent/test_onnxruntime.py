"""Export and execution by ONNX Runtime on the CPU, of the whole LGCNet space at a small size."""

from typing import get_args

import pytest
import torch

from lgcnet_search import plugin
from lgcnet_search.genotype import random_genotype
from lgcnet_search.network import network_spec
from lgcnet_search.space import Space
from lut_server.schemas import Precision, Runtime
from profiler_agent.runtimes.agreement import TOLERANCE_REL, Mismatch, error_rel, require_agreement
from profiler_agent.runtimes.mode import RuntimeMode, open_mode
from profiler_agent.runtimes.onnx_export import export
from profiler_agent.runtimes.pytorch import Unsupported

CPU = torch.device("cpu")
SPACE = Space(height=65, width_px=129, width=2)


@pytest.fixture
def mode() -> RuntimeMode:
    return open_mode(Runtime(mode="onnxruntime", threads=1), CPU)


def test_every_kind_of_operation_computes_what_pytorch_does(mode: RuntimeMode) -> None:
    # prepare() compares. One key of each kind: sizes and strides differ in numbers only, and an export takes a second.
    for operation in {operation.name: operation for operation in SPACE.operations}.values():
        with torch.inference_mode():
            execute = mode.prepare(plugin.build_operation(operation), tuple((1, *s) for s in operation.input_shapes))
            assert mode.clock.time_s(execute, 2) > 0


def test_a_derived_network_computes_what_pytorch_does(mode: RuntimeMode) -> None:
    spec = network_spec(random_genotype(SPACE, seed=3))
    with torch.inference_mode():
        mode.prepare(plugin.build_network(spec), ((2, *spec.input_shape),))()


def test_the_export_keeps_static_shapes_and_the_outputs() -> None:
    exported = export(torch.nn.Conv2d(3, 5, 3).eval(), (torch.randn(2, 3, 8, 8),), torch.float16)
    assert exported.expected[0].dtype == torch.float32
    assert exported.expected[0].shape == (2, 5, 6, 6)
    assert exported.inputs[0].dtype == torch.float16
    assert len(exported.model) > 3 * 5 * 9 * 2


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
        mode.prepare(Drifting(), ((1, 4),))


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


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16", "int8"])
def test_a_cpu_has_fp32_only(precision: str) -> None:
    with pytest.raises(Unsupported, match=precision):
        open_mode(Runtime.model_validate({"mode": "onnxruntime", "precision": precision}), CPU)
