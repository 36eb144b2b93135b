"""The runtime modes by their names: opened, tried, and refused with the reason."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import get_args

import torch

from latency_tables.contract import Capability, Mode, Precision, Runtime
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes import modes
from profiler_agent.runtimes.interface import ModeEntry, RuntimeMode
from profiler_agent.runtimes.requirements import require_runtime
from profiler_agent.runtimes.subject import Subject


def _entry(mode: Mode) -> ModeEntry:
    entry: ModeEntry = import_module(f"{modes.__name__}.{mode.replace('-', '_')}").ENTRY
    return entry


MODES: Mapping[Mode, ModeEntry] = {mode: _entry(mode) for mode in get_args(Mode)}
"""The contract has the names; the file `modes/NAME.py`, with _ for -, has the ENTRY."""


def open_mode(runtime: Runtime, device: torch.device) -> RuntimeMode:
    """The mode of a runtime, ready on a device.

    Raises:
        JobFailed: this machine or this agent cannot do it; the message says why.
    """
    entry = MODES[runtime.mode]
    here = next((precisions for kind, precisions in entry.precisions.items() if kind == device.type), None)
    if here is None:
        kinds = " or ".join({"cpu": "a CPU", "cuda": "an NVIDIA GPU"}[kind] for kind in entry.precisions)
        raise JobFailed(f"mode {runtime.mode!r}: needs {kinds}")
    require_runtime(runtime, device)
    if runtime.precision not in here:
        raise JobFailed(
            f"precision {runtime.precision!r}: mode {runtime.mode!r} has {', '.join(here)} on {device.type}"
        )
    try:
        return entry.open(runtime, device)
    except ImportError as error:
        raise JobFailed(f"mode {runtime.mode!r}: {error}; pip install 'lgcnet[{entry.extra}]'") from error


def library_versions() -> dict[str, str | None]:
    """The versions of what modes execute with, by mode; None for one that is not installed."""
    return {
        mode: next((installed for installed in map(_version, entry.distributions) if installed), None)
        for mode, entry in MODES.items()
        if entry.distributions
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
