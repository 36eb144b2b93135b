"""TensorRT engines from ONNX, by the API of TensorRT 8.6, 10 and 11 alike.

Weights and inputs have their precision in the ONNX already, so types are the network's own: TensorRT 10 is told so, 11
has nothing else, and 8.6, which has no such networks, is allowed the precision by a flag.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import tensorrt as trt

from latency_tables.contract import Precision, Scalar
from latency_tables.whole_files import write_whole

OPTIMIZATION_LEVEL = 3
"""TensorRT's default, written down because it decides how long engines are searched for and how fast they are."""
PRECISION_FLAGS = {"fp16": "FP16", "int8": "INT8"}
"""Of TensorRT 8.6 only."""


class Engine(NamedTuple):
    """A deserialized engine and the SHA-256 of its serialized form."""

    engine: trt.ICudaEngine
    sha256: str


class EngineBuilder:
    """Builds engines in one precision; tactics once timed are kept in `timing_cache` for the next build.

    A timing cache belongs to one GPU and one TensorRT version: its file must be named accordingly.
    """

    def __init__(self, precision: Precision, timing_cache: Path) -> None:
        self._major = int(trt.__version__.split(".")[0])
        self._precision = precision
        self._cache_path = timing_cache
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._builder = trt.Builder(self._logger)
        self._runtime = trt.Runtime(self._logger)

    @property
    def settings(self) -> dict[str, Scalar]:
        """What decides the engines, for the method of a measurement."""
        return {
            "tensorrt_version": trt.__version__,
            "optimization_level": OPTIMIZATION_LEVEL,
            "tf32": self._precision == "tf32",
            "strongly_typed": self._major >= 10,
            "builder_flags": self._flag_name or "none",
        }

    def build(self, model: bytes) -> Engine:
        """Build an engine from a serialized ONNX model.

        Raises:
            RuntimeError: TensorRT cannot parse or build it; the message has its reasons.
        """
        network = self._builder.create_network(self._network_flags())
        parser = trt.OnnxParser(network, self._logger)
        if not parser.parse(model):
            reasons = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
            raise RuntimeError(f"TensorRT {trt.__version__} cannot parse the model: {reasons}")
        config = self._config()
        serialized = self._builder.build_serialized_network(network, config)
        if serialized is None:
            raise RuntimeError(f"TensorRT {trt.__version__} cannot build the engine; its reasons are on stderr")
        self._save_timings(config)
        plan = memoryview(serialized)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise RuntimeError(f"TensorRT {trt.__version__} cannot load the engine that it built")
        return Engine(engine, hashlib.sha256(plan).hexdigest())

    def _network_flags(self) -> int:
        name = "STRONGLY_TYPED" if self._major >= 10 else "EXPLICIT_BATCH"
        return 1 << int(getattr(trt.NetworkDefinitionCreationFlag, name))

    @property
    def _flag_name(self) -> str | None:
        return PRECISION_FLAGS.get(self._precision) if self._major < 10 else None

    def _config(self) -> trt.IBuilderConfig:
        config = self._builder.create_builder_config()
        config.builder_optimization_level = OPTIMIZATION_LEVEL
        # TF32 is on by default, which would make fp32 another precision than it says.
        if self._precision == "tf32":
            config.set_flag(trt.BuilderFlag.TF32)
        else:
            config.clear_flag(trt.BuilderFlag.TF32)
        if self._flag_name:
            config.set_flag(getattr(trt.BuilderFlag, self._flag_name))
        timings = b""
        with suppress(FileNotFoundError):
            timings = self._cache_path.read_bytes()
        config.set_timing_cache(config.create_timing_cache(timings), False)
        return config

    def _save_timings(self, config: trt.IBuilderConfig) -> None:
        self._cache_path.parent.mkdir(parents=True, exist_ok=True)
        # Agents on like GPUs share the file.
        write_whole(self._cache_path, memoryview(config.get_timing_cache().serialize()))
