"""The runtime modes: their interface, and the table of those there are."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol, cast, get_args

import torch

from latency_tables.contract import Capability, Mode, Precision, Runtime, Scalar
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes.requirements import require_runtime
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Clock, Execute


class RuntimeMode(Protocol):
    """Executes modules one way on one device; it is made from a Runtime and a torch.device.

    `settings` goes into the method of every measurement; its `context` says whether a part of networks is executed
    alone (the default) or as inside a network.
    """

    @property
    def clock(self) -> Clock: ...

    @property
    def settings(self) -> Mapping[str, Scalar]: ...

    def prepare(self, subject: Subject) -> Execute:
        """Make a module ready on the device, with random inputs of its shapes; call the result to execute it once.

        What it raises is the answer to whoever posted the job: the operation cannot be measured.
        """
        ...


@dataclass(frozen=True)
class ModeEntry:
    """A mode of the table, as far as it can be known without its libraries.

    `implementation` is MODULE:CLASS, imported when the mode is opened. `extra` is the extra of this distribution that
    installs its libraries. `precisions` by kind of device; a kind that is not there has no such mode. `libraries` has
    fields of Environment, each with the distributions whose version belongs there: of several the first installed one.
    """

    implementation: str
    extra: str
    precisions: Mapping[str, tuple[Precision, ...]]
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def load(self) -> Callable[[Runtime, torch.device], RuntimeMode]:
        """Raises ImportError: a library is missing."""
        module, _, name = self.implementation.partition(":")
        return cast(Callable[[Runtime, torch.device], RuntimeMode], getattr(import_module(module), name))


MODES: Mapping[Mode, ModeEntry] = {
    "pytorch": ModeEntry(
        "profiler_agent.runtimes.pytorch:PyTorchMode",
        extra="agent",
        precisions={"cpu": ("fp32", "fp16", "bf16"), "cuda": ("fp32", "tf32", "fp16", "bf16")},
    ),
    "pytorch-graph": ModeEntry(
        "profiler_agent.runtimes.pytorch_graph:PyTorchGraphMode",
        extra="agent",
        precisions={"cuda": ("fp32", "tf32", "fp16", "bf16")},
    ),
    "onnxruntime": ModeEntry(
        "profiler_agent.runtimes.onnxruntime:OnnxRuntimeMode",
        extra="onnx",
        precisions={"cpu": ("fp32",), "cuda": ("fp32", "tf32", "fp16")},
        libraries={"onnxruntime": ("onnxruntime-gpu", "onnxruntime")},
    ),
    "tensorrt": ModeEntry(
        "profiler_agent.runtimes.tensorrt:TensorRtMode",
        extra="tensorrt",
        precisions={"cuda": ("fp32", "tf32", "fp16", "int8")},
        libraries={"tensorrt": ("tensorrt",)},
    ),
}


def open_mode(runtime: Runtime, device: torch.device) -> RuntimeMode:
    """The mode of a runtime, ready on a device.

    Raises:
        JobFailed: this machine or this agent cannot do it; the message says why.
    """
    entry = MODES[runtime.mode]
    precisions = entry.precisions.get(device.type)
    if precisions is None:
        kinds = " or ".join({"cpu": "a CPU", "cuda": "an NVIDIA GPU"}[kind] for kind in entry.precisions)
        raise JobFailed(f"mode {runtime.mode!r}: needs {kinds}")
    require_runtime(runtime, device)
    if runtime.precision not in precisions:
        raise JobFailed(
            f"precision {runtime.precision!r}: mode {runtime.mode!r} has {', '.join(precisions)} on {device.type}"
        )
    try:
        mode = entry.load()
    except ImportError as error:
        raise JobFailed(f"mode {runtime.mode!r}: {error}; pip install 'lgcnet[{entry.extra}]'") from error
    return mode(runtime, device)


def library_versions() -> dict[str, str | None]:
    """The versions of the libraries of all modes, by field of Environment; None for one that is not installed."""
    return {
        name: next((installed for installed in map(_version, distributions) if installed), None)
        for entry in MODES.values()
        for name, distributions in entry.libraries.items()
    }


def capabilities(device: torch.device) -> Iterator[Capability]:
    """Every mode and precision, each tried with a 3×3 convolution."""
    for mode in MODES:
        for precision in get_args(Precision):
            yield Capability(mode=mode, precision=precision, reason=_why_not(mode, precision, device))


def _why_not(mode: Mode, precision: Precision, device: torch.device) -> str | None:
    runtime = Runtime(mode=mode, precision=precision, threads=1 if device.type == "cpu" else None)
    try:
        opened = open_mode(runtime, device)
        with torch.inference_mode():
            opened.clock.time_s(opened.prepare(Subject(torch.nn.Conv2d(8, 8, 3), ((1, 8, 16, 16),))), 1)
    except JobFailed as error:
        return str(error)
    except (RuntimeError, ValueError, ImportError) as error:
        return f"a 3×3 convolution failed: {str(error).splitlines()[0]}"
    return None


def _version(distribution: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(distribution)
    return None
