"""Modes `tensorrt` and `tensorrt-rtx`: an engine for each module, taken from the store or built from its export."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from platformdirs import user_cache_path

from latency_tables.contract import Kernel, Runtime, Scalar
from latency_tables.whole_files import write_whole
from profiler_agent.runtimes.agreement import require_agreement
from profiler_agent.runtimes.engines.folder import engines_folder
from profiler_agent.runtimes.engines.library import Library
from profiler_agent.runtimes.engines.memory import open_memory
from profiler_agent.runtimes.engines.models import model_of
from profiler_agent.runtimes.engines.store import EngineStore
from profiler_agent.runtimes.inputs import RandomInputs
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Execute


class EngineMode:
    """One engine a module. int8 is explicit quantization: Q/DQ nodes, calibrated on the inputs that are timed.

    Parts are executed alone: what an engine fuses across operations of a network, calibration learns.

    Raises:
        JobFailed: the library is too old, or does not build for this GPU.
        ImportError: it is not installed.
    """

    def __init__(self, library: Library, runtime: Runtime, device: torch.device) -> None:
        self._library = library
        self._precision = runtime.precision
        self._store = EngineStore(engines_folder(), library, runtime.precision, device)
        self._builder = self._store.builder
        self._memory = open_memory(library, device)
        self._runtime = self._builder.bindings.Runtime(self._builder.log)
        gpu = torch.cuda.get_device_name(device).replace(" ", "-")
        name = f"{gpu}-{library.mode}-{self._builder.version}-{runtime.precision}.kernels"
        self._kernel_cache = user_cache_path("profiler-agent", appauthor=False) / name
        self._random = RandomInputs(torch.device("cpu"), torch.float32)
        self._engines = hashlib.sha256()
        self._kernels: dict[Execute, tuple[Kernel, ...]] = {}
        self.clock = self._memory.clock

    @property
    def settings(self) -> dict[str, Scalar]:
        """`engines_sha256` covers the engines that were loaded so far, in the order of the job."""
        tactics = "timed when an engine is built"
        if not self._library.times_tactics:
            tactics = "compiled for the card when an engine is loaded, kept in a runtime cache"
        return {
            **self._builder.settings,
            "tactics": tactics,
            "memory_format": "contiguous in and out, chosen by the engine between",
            "batch_norm": "as the space deploys it",
            "exporter": "torch.onnx dynamo",
            "engines_taken": self._store.taken,
            "engines_built": self._store.built,
            "engines_sha256": self._engines.hexdigest(),
            **({"calibration": "min-max on the timed random inputs"} if self._precision == "int8" else {}),
        }

    def prepare(self, subject: Subject) -> Execute:
        """Take or build the engine of a module, bind random inputs, and check its outputs against PyTorch's.

        Raises:
            Mismatch: the engine computes something else.
            RuntimeError: it cannot be exported, built or executed.
        """
        bindings, title = self._builder.bindings, self._library.title
        exported = model_of(subject, self._random(subject.input_shapes), self._precision)
        plan = self._store.engine(exported.model)
        self._engines.update(bytes.fromhex(plan.sha256))
        engine = self._runtime.deserialize_cuda_engine(plan.content)
        if engine is None:
            raise RuntimeError(f"{title} cannot load the engine: {self._builder.log.reasons}")
        context = self._context(engine)
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        input_names, output_names = (
            [name for name in names if engine.get_tensor_mode(name) == role]
            for role in (bindings.TensorIOMode.INPUT, bindings.TensorIOMode.OUTPUT)
        )
        for number, (name, value) in enumerate(zip(input_names, exported.inputs, strict=True)):
            values = np.ascontiguousarray(value.numpy())
            context.set_tensor_address(name, self._memory.upload(f"input {number}", values))
        outputs = [
            np.zeros(tuple(engine.get_tensor_shape(name)), bindings.nptype(engine.get_tensor_dtype(name)))
            for name in output_names
        ]
        for number, (name, values) in enumerate(zip(output_names, outputs, strict=True)):
            context.set_tensor_address(name, self._memory.upload(f"output {number}", values))

        def execute() -> None:
            if not context.execute_async_v3(self._memory.stream):
                raise RuntimeError(f"{title} cannot execute the engine: {self._builder.log.reasons}")

        execute()
        tensors = [
            torch.from_numpy(self._memory.download(f"output {number}", values)) for number, values in enumerate(outputs)
        ]
        require_agreement(tensors, exported.expected, self._precision, title)
        self._kernels[execute] = plan.kernels
        return execute

    def kernels(self, execute: Execute) -> tuple[Kernel, ...]:
        """The engine's layers, as its builder listed them."""
        return self._kernels[execute]

    def _context(self, engine: Any) -> Any:
        """A context of an engine; where kernels are compiled only now, with the cache of those compiled before."""
        if self._library.times_tactics:
            context = engine.create_execution_context()
        else:
            config = engine.create_runtime_config()
            cache = config.create_runtime_cache()
            with suppress(FileNotFoundError):
                cache.deserialize(self._kernel_cache.read_bytes())
            config.set_runtime_cache(cache)
            context = engine.create_execution_context(config)
            _keep(self._kernel_cache, cache)
        if context is None:
            raise RuntimeError(
                f"{self._library.title} cannot create an execution context, is the GPU's memory full? "
                f"{self._builder.log.reasons}"
            )
        return context


def _keep(path: Path, cache: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, memoryview(cache.serialize()))
