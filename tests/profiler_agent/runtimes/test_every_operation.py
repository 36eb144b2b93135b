"""Every kind of operation of every search space here, exported once, in every library that executes or builds it."""

from collections.abc import Callable

import pytest
import torch

from latency_tables.contract import Precision, Runtime
from profiler_agent.runtimes.engines.builder import EngineBuilder
from profiler_agent.runtimes.engines.library import TENSORRT_RTX
from profiler_agent.runtimes.exported import export as exporting
from profiler_agent.runtimes.exported.blocked_layout import BLOCKED
from profiler_agent.runtimes.exported.export import Exported, export
from profiler_agent.runtimes.exported.quantize import quantize
from profiler_agent.runtimes.interface import RuntimeMode
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.runtimes.subject import Subject
from tests.support.every_space import every_space, published, random_inputs

CPU = torch.device("cpu")
CAPABILITIES = ("7.5", "8.6", "8.9", "12.0")
CASES = {
    f"{space.plugin.name} {operation.name}": (space, operation)
    for space in every_space(small=True)
    for operation in space.kinds
}
MATRIX_PRODUCTS = (
    "lgcnet global_pool",
    "mobile classifier",
    *(f"vit-resnas {name}" for name in ("attention", "mlp", "spatial_reduction", "head")),
)
"""TensorRT for RTX builds these for every capability but Turing's, 7.5: neither in fp32 nor from their Q/DQ models."""

pytestmark = pytest.mark.process  # exports of many modules, which make quick leaves out as well


class Exports:
    """Each case exported once, in fp32: an export takes a second."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Subject, Exported]] = {}

    def get(self, case: str) -> tuple[Subject, Exported]:
        """The module with its model; `share` of it gives that model."""
        if case not in self._made:
            space, operation = CASES[case]
            subject = space.operation_subject(operation)
            with torch.inference_mode():
                exported = export(subject, random_inputs(subject), torch.float32)
            self._made[case] = subject, exported
        return self._made[case]


@pytest.fixture(scope="module")
def exports() -> Exports:
    return Exports()


@pytest.fixture
def subject(request: pytest.FixtureRequest, exports: Exports, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """The case's module; exporting it gives the model that there is."""
    module, exported = exports.get(request.param)
    monkeypatch.setattr(exporting, "_model", lambda *_: exported.model)
    return module


@pytest.fixture(scope="module")
def openvino() -> RuntimeMode:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'lgcnet[dev]'")
    return open_mode(Runtime(mode="openvino", threads=1), CPU)


@pytest.fixture(scope="module")
def onnxruntime() -> RuntimeMode:
    return open_mode(Runtime(mode="onnxruntime", threads=1), CPU)


@pytest.mark.parametrize("subject", CASES, indirect=True)
@pytest.mark.parametrize("is_part", [False, True])
def test_onnxruntime_computes_what_pytorch_does(subject: Subject, is_part: bool, onnxruntime: RuntimeMode) -> None:
    models: list[bytes] = []

    def share(make: Callable[[], bytes]) -> bytes:
        models.append(make())
        return models[-1]

    with torch.inference_mode():  # prepare() compares
        execute = onnxruntime.prepare(subject._replace(is_part=is_part, share=share))
        assert onnxruntime.clock.time_s(execute, 2) > 0
    if not is_part:
        assert onnxruntime.kernels(execute)
    # A part whose channels fill no block stays as it is; test_onnxruntime.py has those that do.
    assert is_part or BLOCKED.encode() not in models[0]


@pytest.mark.parametrize("subject", CASES, indirect=True)
def test_openvino_computes_what_pytorch_does(subject: Subject, openvino: RuntimeMode) -> None:
    with torch.inference_mode():  # prepare() compares
        execute = openvino.prepare(subject)
        assert openvino.clock.time_s(execute, 2) > 0
    assert openvino.kernels(execute)


@pytest.mark.parametrize("case", CASES)
def test_tensorrt_rtx_builds_it(case: str, exports: Exports) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu12 is not installed: pip install 'lgcnet[dev]'")
    _, exported = exports.get(case)
    models: dict[Precision, bytes] = {"fp32": exported.model, "int8": quantize(exported)}
    for precision, model in models.items():
        for capability in CAPABILITIES:
            builder = EngineBuilder(TENSORRT_RTX, precision, capability=capability)
            if capability == "7.5" and case in MATRIX_PRODUCTS:
                with pytest.raises(RuntimeError, match="FP32 GEMM is not supported"):
                    builder.build(model)
            else:
                assert builder.build(model).kernels


@pytest.mark.slow
def test_every_operation_and_six_networks_are_built_for_every_capability_in_every_precision() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu12 is not installed: pip install 'lgcnet[dev]'")
    from benchmarks.engine_builds import build_all

    for what, precision, builds in build_all([*every_space(small=True), published(small=True)]):
        assert not builds.ended["failed"], (what, precision, builds.reasons)
        assert not builds.ended["refused"] or precision != "fp16", (what, precision, builds.reasons)
