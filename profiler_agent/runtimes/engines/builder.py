"""Engines from ONNX, by the API of TensorRT 8.6, 10 and 11 and of TensorRT for RTX alike.

Weights and inputs have their precision in the ONNX already, so types are the network's own: TensorRT 10 is told so, 11
and TensorRT for RTX have nothing else, and 8.6, which has no such networks, is allowed the precision by a flag.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from latency_tables.contract import Kernel, Precision, Scalar
from latency_tables.whole_files import write_whole
from profiler_agent.runtimes.engines.library import FIRST_STRONGLY_TYPED, Library

OPTIMIZATION_LEVEL = 3
"""The default, written down because it decides how long engines are searched for and how fast they are."""
PRECISION_FLAGS = {"fp16": "FP16", "int8": "INT8"}
"""Of TensorRT 8.6 only."""
MOST_REASONS = 3
_LAYER = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*),.*?(?:Metadata: (?P<metadata>.*))?$", re.MULTILINE
)
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")


class Plan(NamedTuple):
    """A serialized engine, and its kernels in order of execution as the builder lists them."""

    content: bytes
    kernels: tuple[Kernel, ...]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class EngineBuilder:
    """Builds engines in one precision, for the GPU here or for a compute capability.

    Tactics once timed are kept in `timing_cache` for the next build. It belongs to one GPU and one version: its file
    must be named accordingly.

    Raises:
        JobFailed: the library is too old, or has not the capability.
        ImportError: it is not installed.
    """

    def __init__(
        self,
        library: Library,
        precision: Precision,
        *,
        capability: str | None = None,
        timing_cache: Path | None = None,
    ) -> None:
        if capability is not None:
            library.require_capability(capability)
        self._library = library
        self.bindings = library.load()
        self.version: str = self.bindings.__version__
        self._precision = precision
        self._capability = capability
        self._cache_path = timing_cache
        self._is_typed = not library.times_tactics or int(self.version.split(".")[0]) >= FIRST_STRONGLY_TYPED
        self.log = _log(self.bindings)
        self._builder = self.bindings.Builder(self.log)

    @property
    def settings(self) -> dict[str, Scalar]:
        """What decides the engines, for the method of a measurement."""
        return {
            f"{self._library.module}_version": self.version,
            "optimization_level": OPTIMIZATION_LEVEL,
            "tf32": self._precision == "tf32",
            "strongly_typed": self._is_typed,
            "builder_flags": self._flag_name or "none",
        }

    def build(self, model: bytes) -> Plan:
        """Build an engine from a serialized ONNX model.

        Raises:
            RuntimeError: it cannot be parsed or built; the message has the library's reasons.
        """
        named = f"{self._library.title} {self.version}"
        network = self._builder.create_network(self._network_flags())
        parser = self.bindings.OnnxParser(network, self.log)
        self.log.clear()
        if not parser.parse(model):
            reasons = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
            raise RuntimeError(f"{named} cannot parse the model: {reasons}")
        config = self._config()
        serialized = self._builder.build_serialized_network(network, config)
        if serialized is None:
            raise RuntimeError(f"{named} cannot build the engine: {self.log.reasons}")
        self._save_timings(config)
        return Plan(bytes(memoryview(serialized)), kernels_of(self.log.layers))

    def _network_flags(self) -> int:
        name = "STRONGLY_TYPED" if self._is_typed else "EXPLICIT_BATCH"
        return 1 << int(getattr(self.bindings.NetworkDefinitionCreationFlag, name))

    @property
    def _flag_name(self) -> str | None:
        return None if self._is_typed else PRECISION_FLAGS.get(self._precision)

    def _config(self) -> Any:
        bindings, config = self.bindings, self._builder.create_builder_config()
        config.builder_optimization_level = OPTIMIZATION_LEVEL
        # The layers' metadata, which the log has, name the nodes of the model.
        config.profiling_verbosity = bindings.ProfilingVerbosity.DETAILED
        # TF32 is on by default, which would make fp32 another precision than it says.
        if self._precision == "tf32":
            config.set_flag(bindings.BuilderFlag.TF32)
        else:
            config.clear_flag(bindings.BuilderFlag.TF32)
        if self._flag_name:
            config.set_flag(getattr(bindings.BuilderFlag, self._flag_name))
        if self._capability is not None:
            config.num_compute_capabilities = 1
            name = self._library.capabilities[self._capability]
            config.set_compute_capability(getattr(bindings.ComputeCapability, name), 0)
        if self._library.times_tactics and self._cache_path is not None:
            timings = b""
            with suppress(FileNotFoundError):
                timings = self._cache_path.read_bytes()
            config.set_timing_cache(config.create_timing_cache(timings), False)
        return config

    def _save_timings(self, config: Any) -> None:
        if self._library.times_tactics and self._cache_path is not None:
            self._cache_path.parent.mkdir(parents=True, exist_ok=True)
            # Agents on like GPUs share the file.
            write_whole(self._cache_path, memoryview(config.get_timing_cache().serialize()))


def kernels_of(layers: str) -> tuple[Kernel, ...]:
    """The kernels of a builder's list of layers: "Name: …, LayerType: …, …, Metadata: [ONNX Layer: NODE]…" a line."""
    return tuple(
        Kernel(kind=_plain(match["kind"]), nodes=tuple(dict.fromkeys(_NODE.findall(match["metadata"] or ""))))
        for match in _LAYER.finditer(layers)
    )


def _plain(kind: str) -> str:
    return re.sub(r"[^\w -]", "", kind) or "unnamed"


def _log(bindings: Any) -> Any:
    """A logger that keeps errors, and the last list of layers. Its base class is the bindings' own."""

    class Log(bindings.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.clear()

        def clear(self) -> None:
            self.errors: list[str] = []
            self.layers = ""

        @property
        def reasons(self) -> str:
            return "; ".join(self.errors[:MOST_REASONS]) or "it says no reason"

        def log(self, severity: Any, message: str) -> None:
            if severity <= bindings.ILogger.ERROR:
                self.errors.append(message)
            elif message.startswith("Layers:"):
                self.layers = message

    return Log()
