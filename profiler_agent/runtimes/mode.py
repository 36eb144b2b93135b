"""The interface of a runtime mode, and the modes there are."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Protocol, cast, get_args

import torch

from latency_tables.contract import Mode, Precision, Runtime, Scalar
from profiler_agent.messages import Capability
from profiler_agent.runtimes.exports import Share, alone
from profiler_agent.runtimes.inputs import Shapes
from profiler_agent.runtimes.pytorch import Unsupported
from profiler_agent.timing.block import Clock, Execute


class RuntimeMode(Protocol):
    """Executes modules one way on one device; `settings` goes into the method of every measurement."""

    @property
    def clock(self) -> Clock: ...

    @property
    def settings(self) -> dict[str, Scalar]: ...

    def prepare(
        self, module: torch.nn.Module, input_shapes: Shapes, share: Share = alone, is_part: bool = False
    ) -> Execute:
        """Make a module ready on the device, with random inputs of these shapes; call it to execute once.

        What takes long and is the same in every process goes through `share`. `is_part`: it is an operation of
        networks; `settings["context"]` says whether it is executed alone or as inside one.
        """
        ...


# Modules are imported when their mode is opened: each needs libraries that the others do without.
MODES: dict[Mode, tuple[str, str, str]] = {
    "pytorch": ("profiler_agent.runtimes.pytorch", "PyTorchMode", "agent"),
    "pytorch-graph": ("profiler_agent.runtimes.pytorch_graph", "PyTorchGraphMode", "agent"),
    "onnxruntime": ("profiler_agent.runtimes.onnxruntime", "OnnxRuntimeMode", "onnx"),
    "tensorrt": ("profiler_agent.runtimes.tensorrt", "TensorRtMode", "tensorrt"),
}


def open_mode(runtime: Runtime, device: torch.device) -> RuntimeMode:
    """The mode of a runtime, ready on a device.

    Raises:
        Unsupported: this machine or this agent cannot; the message says why.
    """
    if runtime.mode == "tensorrt" and device.type != "cuda":
        raise Unsupported("mode 'tensorrt': needs an NVIDIA GPU")
    module, name, extra = MODES[runtime.mode]
    try:
        mode = cast(Callable[[Runtime, torch.device], RuntimeMode], getattr(import_module(module), name))
    except ImportError as error:
        raise Unsupported(f"mode {runtime.mode!r}: {error}; pip install 'lgcnet[{extra}]'") from error
    return mode(runtime, device)


def capabilities(device: torch.device) -> Iterator[Capability]:
    """Every mode and precision, found out by trying."""
    for mode in MODES:
        for precision in get_args(Precision):
            yield Capability(mode=mode, precision=precision, reason=_why_not(mode, precision, device))


def _why_not(mode: Mode, precision: Precision, device: torch.device) -> str | None:
    runtime = Runtime(mode=mode, precision=precision, threads=1 if device.type == "cpu" else None)
    try:
        opened = open_mode(runtime, device)
        with torch.inference_mode():
            opened.clock.time_s(opened.prepare(torch.nn.Conv2d(8, 8, 3), ((1, 8, 16, 16),)), 1)
    except Unsupported as error:
        return str(error)
    except (RuntimeError, ValueError, ImportError) as error:
        return f"a 3×3 convolution failed: {str(error).splitlines()[0]}"
    return None
