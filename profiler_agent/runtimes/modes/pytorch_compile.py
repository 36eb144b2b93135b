"""Mode `pytorch-compile`: the module compiled by inductor, PyTorch's own compiler, for CPU or CUDA."""

import os
import shutil
import sys
import time
from collections.abc import Callable

import torch
from platformdirs import user_cache_path

from latency_tables.contract import Kernel, Runtime, Scalar
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes.agreement import outputs_of, require_agreement
from profiler_agent.runtimes.interface import ModeEntry, Ran
from profiler_agent.runtimes.modes.pytorch import PyTorchMode
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Execute

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


class PyTorchCompileMode:
    """Modules as mode `pytorch` prepares them, compiled whole and at static shapes before they are timed.

    Raises:
        JobFailed: there is no compiler here.
    """

    def __init__(self, runtime: Runtime, device: torch.device) -> None:
        self._compiler = _compiler(device)
        # Beside the agent's other caches: its own temporary folder ends with each job.
        os.environ.setdefault(CACHE_VARIABLE, str(user_cache_path("profiler-agent", appauthor=False) / "inductor"))
        self._eager = PyTorchMode(runtime, device)
        self._precision = runtime.precision
        self._compiling_s = 0.0
        self._cache_before = _cache_counts()
        self.clock = self._eager.clock

    @property
    def settings(self) -> dict[str, Scalar]:
        """With how long compiling took so far, and how many graphs of it inductor's cache on disk had."""
        hits, misses = (now - before for now, before in zip(_cache_counts(), self._cache_before, strict=True))
        return {
            **self._eager.settings,
            "compiler": f"inductor, {self._compiler}",
            "compiling_s": round(self._compiling_s, 1),
            "cache_hits": hits,
            "cache_misses": misses,
        }

    def prepare(self, subject: Subject) -> Execute:
        """Compile a module, bind random inputs, and compare its outputs with those of the eager call.

        Raises:
            Mismatch: it computes something else.
            RuntimeError: PyTorch cannot compile it.
        """
        eager = self._eager.prepare(subject)
        expected = [output.clone() for output in outputs_of(eager())]
        started_s = time.monotonic()
        try:
            execute: Execute = torch.compile(_of_its_own(eager), fullgraph=True, dynamic=False)
            outputs = outputs_of(execute())
        except (RuntimeError, torch._dynamo.exc.TorchDynamoException) as error:
            raise RuntimeError(f"torch.compile: {error}") from error
        self._compiling_s += time.monotonic() - started_s
        require_agreement(outputs, expected, self._precision, "the compiled module")
        return execute

    def kernels(self, execute: Execute) -> tuple[Kernel, ...] | None:
        """None: inductor keeps no record of what it fused."""
        del execute
        return None


def _of_its_own(execute: Execute) -> Callable[[], object]:
    """A call with a code object of its own: PyTorch keeps what it compiled there, eight at most for all instances."""

    def call() -> object:
        return execute()

    call.__code__ = call.__code__.replace()
    return call


def _compiler(device: torch.device) -> str:
    """The name of what inductor compiles with. Raises JobFailed."""
    if device.type == "cuda":
        if not torch.utils._triton.has_triton():
            raise JobFailed("mode 'pytorch-compile': needs triton on a GPU, which is not installed or too new for it")
        return "triton"
    name = os.environ.get("CXX", "g++")
    if shutil.which(name) is None:
        raise JobFailed(f"mode 'pytorch-compile': no C++ compiler {name!r} here; install g++ or name one in CXX")
    return name


def _cache_counts() -> tuple[int, int]:
    """Hits and misses of this process. Opening the mode does not import the compiler, which takes seconds."""
    if "torch._dynamo.utils" not in sys.modules:
        return 0, 0
    counts = torch._dynamo.utils.counters["inductor"]
    return counts["fxgraph_cache_hit"], counts["fxgraph_cache_miss"]


ENTRY = ModeEntry(
    PyTorchCompileMode,
    extra="agent",
    precisions={"cpu": ("fp32", "fp16", "bf16"), "cuda": ("fp32", "tf32", "fp16", "bf16")},
    ran={
        "cpu": Ran("run", "with small modules, whose outputs are compared with those of eager calls"),
        "cuda": Ran("never run", ""),
    },
)
