"""Engines on disk, by what they were built from and for: an agent takes from here what was built ahead of time."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import torch
from platformdirs import user_cache_path
from pydantic import TypeAdapter, ValidationError

from latency_tables.contract import Kernel, Precision
from latency_tables.whole_files import write_whole
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes.engines.builder import EngineBuilder, Plan
from profiler_agent.runtimes.engines.library import Library

_KERNELS: TypeAdapter[tuple[Kernel, ...]] = TypeAdapter(tuple[Kernel, ...])


class EngineStore:
    """Engines of one library, compute capability and precision, by the SHA-256 of the ONNX model.

    `FOLDER/MODE-VERSION/CAPABILITY/PRECISION/DIGEST.engine`, with its kernels in `DIGEST.json`. `taken` and `built`
    count what was asked of this object. They are for `capability`, or, without one, for the GPU `device`; engines whose
    tactics were timed are for GPUs of its name only.

    Raises:
        JobFailed: the library does not build for that.
        ImportError: it is not installed.
    """

    def __init__(
        self, folder: Path, library: Library, precision: Precision, device: torch.device, capability: str | None = None
    ) -> None:
        target, caches, timing_cache = capability or "", user_cache_path("profiler-agent", appauthor=False), None
        if capability is None:
            if device.type != "cuda":
                raise JobFailed("capability: there is no GPU here to build for; name one, such as 8.6")
            target = "{}.{}".format(*torch.cuda.get_device_capability(device))
        if library.times_tactics:
            if capability is not None:
                raise JobFailed(
                    f"capability={capability}: {library.title} times its tactics on the GPU that executes them; leave "
                    "it out on a machine with that GPU, or take mode 'tensorrt-rtx'"
                )
            target = f"{torch.cuda.get_device_name(device).replace(' ', '-')}-{target}"
            timing_cache = caches / f"{target}-{library.load().__version__}-{precision}.timing"
        self.builder = EngineBuilder(
            library, precision, capability=None if library.times_tactics else target, timing_cache=timing_cache
        )
        self.target = target
        self._folder = folder / f"{library.mode}-{self.builder.version}" / target / precision
        self.taken = 0
        self.built = 0

    def engine(self, model: bytes) -> Plan:
        """The engine of a serialized ONNX model: taken, or built now and kept.

        Raises:
            RuntimeError: it cannot be built.
        """
        path = self._folder / f"{sha256(model).hexdigest()}.engine"
        with suppress(FileNotFoundError, ValidationError):  # an engine whose kernels are not known is built again
            plan = Plan(path.read_bytes(), _KERNELS.validate_json(path.with_suffix(".json").read_bytes()))
            self.taken += 1
            return plan
        plan = self.builder.build(model)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, plan.content)
        write_whole(path.with_suffix(".json"), _KERNELS.dump_json(plan.kernels))
        self.built += 1
        return plan
