"""Modes `openvino` and `pytorch-compile` on this CPU."""

import subprocess
import sys

import pytest
import torch

from latency_tables.contract import Method, Precision, Runtime
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes.agreement import Mismatch
from profiler_agent.runtimes.exported.export import export
from profiler_agent.runtimes.interface import RuntimeMode
from profiler_agent.runtimes.mode import MODES, open_mode
from profiler_agent.runtimes.modes import pytorch_compile
from profiler_agent.runtimes.modes.openvino import OpenVinoMode
from profiler_agent.runtimes.subject import Subject

CPU = torch.device("cpu")
SHAPE = (1, 4, 12, 12)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3)).eval()


class Drifting(torch.nn.Module):
    """Traced as it is exported, it adds another number than it did when it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + float(self.calls)


def opened(mode: str, precision: Precision = "fp32") -> RuntimeMode:
    return open_mode(Runtime.model_validate({"mode": mode, "precision": precision, "threads": 1}), CPU)


def has_bf16() -> bool:
    from openvino import Core

    return "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_openvino_runs_in_each_precision_and_says_what_it_fused(precision: Precision) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'lgcnet[dev]'")
    if precision == "bf16" and not has_bf16():
        with pytest.raises(JobFailed, match=r"precision 'bf16': OpenVINO has .* on this CPU"):
            opened("openvino", precision)
        return
    mode = opened("openvino", precision)
    with torch.inference_mode():  # prepare() compares
        execute = mode.prepare(Subject(network(), (SHAPE,)))
        assert mode.clock.time_s(execute, 2) > 0
    assert ("0/Conv", "1/Relu") in [kernel.nodes for kernel in mode.kernels(execute) or ()]
    assert mode.settings["threads"] == mode.settings["streams"] == 1


@pytest.mark.parametrize(
    ("module", "channels_last"),
    [
        pytest.param(torch.nn.Conv2d(64, 64, 3, padding=1), True, id="convolution"),
        pytest.param(torch.nn.MaxPool2d(3, 1, 1), False, id="pooling"),
    ],
)
def test_openvino_executes_a_part_as_between_convolutions(module: torch.nn.Module, channels_last: bool) -> None:
    """A convolution gets and gives images with their channels last; alone, pooling would only transpose them."""
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'lgcnet[dev]'")
    mode = opened("openvino")
    assert isinstance(mode, OpenVinoMode)
    shape = (1, 64, 24, 20)
    part = Subject(module.eval(), (shape,), is_part=True)
    with torch.inference_mode():
        model = export(part, (torch.ones(shape),), torch.float32).model
        for is_part in (False, True):
            compiled, is_last = mode.compiled(model, is_part=is_part)
            assert is_last == (is_part and channels_last)
            assert tuple(compiled.input(0).shape) == ((1, 24, 20, 64) if is_last else shape)
        execute = mode.prepare(part)  # compares
        for buffer in mode._outputs.values():
            buffer.zero_()
        [torch.full((1, 24, 20, 64), torch.nan) for _ in range(64)]  # takes whatever memory was freed
        execute()
    assert all(buffer.isfinite().all() and buffer.any() for buffer in mode._outputs.values()), "inputs stay alive"


@pytest.mark.parametrize("mode", [mode for mode, entry in MODES.items() if "cpu" in entry.precisions])
def test_the_settings_of_a_mode_can_be_stored_with_a_measurement(mode: str) -> None:
    if mode == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed: pip install 'lgcnet[dev]'")
    settings = opened(mode).settings
    assert dict(Method(version="one", settings=tuple(settings.items())).settings) == dict(settings)


def test_openvino_refuses_what_computes_something_else() -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'lgcnet[dev]'")
    with torch.inference_mode(), pytest.raises(Mismatch, match=r"OpenVINO gives .*, PyTorch "):
        opened("openvino").prepare(Subject(Drifting(), ((1, 4),)))


@pytest.mark.process
def test_modules_are_compiled_before_they_are_timed() -> None:
    """More of them than PyTorch keeps for one code object; none falls back to eager execution."""
    pytest.importorskip("torch._inductor")
    code = """
import torch
from tests.profiler_agent.runtimes.test_cpu_modes import opened
from profiler_agent.runtimes.subject import Subject

mode = opened("pytorch-compile")
with torch.inference_mode():
    executes = [mode.prepare(Subject(torch.nn.ReLU(), ((2, side),))) for side in range(2, 12)]
    with torch._dynamo.config.patch(error_on_recompile=True):
        for execute in executes:
            assert mode.clock.time_s(execute, 2) > 0
settings = mode.settings
assert settings["cache_hits"] + settings["cache_misses"] == len(executes), settings
assert settings["compiling_s"] > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_a_compiler_compiling_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(JobFailed, match="no C\\+\\+ compiler 'no-such-compiler' here; install g\\+\\+"):
        opened("pytorch-compile")


def test_what_was_compiled_wrongly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch_compile, "_of_its_own", lambda execute: lambda: execute() + 1)
    monkeypatch.setattr(torch, "compile", lambda call, **_: call)
    with torch.inference_mode(), pytest.raises(Mismatch, match=r"the compiled module gives .*, PyTorch "):
        opened("pytorch-compile").prepare(Subject(network(), (SHAPE,)))
