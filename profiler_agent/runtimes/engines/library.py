"""What differs between TensorRT and TensorRT for RTX, in one place. All else is the same code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from profiler_agent.errors import JobFailed

if TYPE_CHECKING:
    from latency_tables.contract import Mode

FIRST_STRONGLY_TYPED = 10
"""TensorRT 8.6 has no networks whose types are the model's own; every version of TensorRT for RTX has nothing else."""


@dataclass(frozen=True)
class Library:
    """A builder and its runtime.

    `first`: the oldest version that this agent drives. `capabilities`: compute capabilities that engines can be built
    for without such a GPU, by their names in the library; none: an engine is built on the GPU that executes it. With
    `times_tactics` the builder tries kernels on the GPU and keeps its timings; else they are compiled for the card when
    an engine is loaded, and kept in a runtime cache. `memory`: what holds buffers, stream and events.
    """

    mode: Mode
    title: str
    module: str
    first: tuple[int, int]
    capabilities: Mapping[str, str]
    times_tactics: bool
    memory: Literal["pycuda", "torch"]

    def load(self) -> Any:
        """The bindings.

        Raises:
            ImportError: they are not installed.
            JobFailed: they are too old.
        """
        bindings = import_module(self.module)
        if tuple(int(part) for part in bindings.__version__.split(".")[:2]) < self.first:
            oldest = ".".join(map(str, self.first))
            raise JobFailed(f"{self.title} {bindings.__version__}: this agent needs {oldest} or newer")
        return bindings

    def require_capability(self, capability: str) -> None:
        """Raises JobFailed with those that there are if the library has not this one."""
        if self.capabilities and capability not in self.capabilities:
            known = ", ".join(self.capabilities)
            raise JobFailed(
                f"compute capability {capability}: {self.title} builds for {known}; take mode 'tensorrt' on this GPU"
            )


TENSORRT = Library(
    "tensorrt", "TensorRT", "tensorrt", first=(8, 6), capabilities={}, times_tactics=True, memory="pycuda"
)
TENSORRT_RTX = Library(
    "tensorrt-rtx",
    "TensorRT for RTX",
    "tensorrt_rtx",
    first=(1, 4),
    capabilities={"7.5": "SM75", "8.0": "SM80", "8.6": "SM86", "8.9": "SM89", "12.0": "SM120", "12.1": "SM121"},
    times_tactics=False,
    memory="torch",
)
LIBRARIES: Mapping[str, Library] = {library.mode: library for library in (TENSORRT, TENSORRT_RTX)}
