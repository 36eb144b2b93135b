"""Mode `tensorrt`: an engine built from the ONNX export; buffers, stream and events are pycuda's."""

import hashlib

import numpy as np
import numpy.typing as npt
import pycuda.driver as cuda
import tensorrt as trt
import torch
from platformdirs import user_cache_path

from latency_tables.contract import Runtime, Scalar
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes.agreement import require_agreement
from profiler_agent.runtimes.engine import EngineBuilder
from profiler_agent.runtimes.inputs import RandomInputs
from profiler_agent.runtimes.onnx_export import export
from profiler_agent.runtimes.quantize import quantize
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Clock, Execute

FIRST_VERSION = (8, 6)


class PycudaEventClock:
    """pycuda's events around the block, in its own stream, which is idle at the start."""

    block_s = 0.002

    def __init__(self, stream: cuda.Stream) -> None:
        self._stream = stream
        self._start = cuda.Event()
        self._end = cuda.Event()

    def time_s(self, execute: Execute, executions: int) -> float:
        self._stream.synchronize()
        self._start.record(self._stream)
        for _ in range(executions):
            execute()
        self._end.record(self._stream)
        self._end.synchronize()
        return float(self._start.time_till(self._end)) * 1e-3


class TensorRtMode:
    """One engine a module. int8 is explicit quantization: Q/DQ nodes, calibrated on the inputs that are timed.

    Parts are executed alone: what an engine fuses across operations of a network, calibration learns.

    Raises:
        JobFailed: this TensorRT is too old.
    """

    def __init__(self, runtime: Runtime, device: torch.device) -> None:
        version = tuple(int(part) for part in trt.__version__.split(".")[:2])
        if version < FIRST_VERSION:
            raise JobFailed(f"TensorRT {trt.__version__}: this agent needs 8.6 or newer")
        cuda.init()
        gpu = cuda.Device(device.index or 0)
        # The primary context is the one that PyTorch has: a second one would split the GPU between them.
        self._context = gpu.retain_primary_context()
        self._context.push()
        self._precision = runtime.precision
        self._dtype = torch.float16 if runtime.precision == "fp16" else torch.float32
        self._random = RandomInputs(torch.device("cpu"), torch.float32)
        self._stream = cuda.Stream()
        self._buffers: dict[tuple[str, int, tuple[int, ...], str], cuda.DeviceAllocation] = {}
        self._engines = hashlib.sha256()
        major, minor = gpu.compute_capability()
        name = f"{gpu.name()}-{major}.{minor}-{trt.__version__}-{runtime.precision}.timing".replace(" ", "-")
        self._builder = EngineBuilder(runtime.precision, user_cache_path("profiler-agent", appauthor=False) / name)
        self.clock: Clock = PycudaEventClock(self._stream)

    @property
    def settings(self) -> dict[str, Scalar]:
        """`engines_sha256` covers the engines built so far, in the order of the job."""
        return {
            **self._builder.settings,
            "memory_format": "contiguous in and out, TensorRT's choice between",
            "batch_norm": "as the space deploys it",
            "exporter": "torch.onnx dynamo",
            "engines_sha256": self._engines.hexdigest(),
            **({"calibration": "min-max on the timed random inputs"} if self._precision == "int8" else {}),
        }

    def prepare(self, subject: Subject) -> Execute:
        """Build the engine of a module, bind random inputs, and check its outputs against PyTorch's.

        Raises:
            Mismatch: the engine computes something else.
            RuntimeError: it cannot be exported, built or executed.
        """
        exported = export(subject, self._random(subject.input_shapes), self._dtype)
        model = quantize(exported) if self._precision == "int8" else exported.model
        built = self._builder.build(model)
        self._engines.update(bytes.fromhex(built.sha256))
        context = built.engine.create_execution_context()
        if context is None:
            raise RuntimeError("TensorRT cannot create an execution context; is the GPU's memory full?")
        names = [built.engine.get_tensor_name(number) for number in range(built.engine.num_io_tensors)]
        input_names, output_names = (
            [name for name in names if built.engine.get_tensor_mode(name) == role]
            for role in (trt.TensorIOMode.INPUT, trt.TensorIOMode.OUTPUT)
        )
        for number, (name, value) in enumerate(zip(input_names, exported.inputs, strict=True)):
            values = np.ascontiguousarray(value.numpy())
            buffer = self._buffer("in", number, values)
            cuda.memcpy_htod(buffer, values)
            context.set_tensor_address(name, int(buffer))
        outputs: list[tuple[cuda.DeviceAllocation, npt.NDArray[np.generic]]] = []
        for number, name in enumerate(output_names):
            shape = tuple(built.engine.get_tensor_shape(name))
            values = np.empty(shape, trt.nptype(built.engine.get_tensor_dtype(name)))
            outputs.append((self._buffer("out", number, values), values))
            context.set_tensor_address(name, int(outputs[-1][0]))

        def execute() -> None:
            if not context.execute_async_v3(self._stream.handle):
                raise RuntimeError("TensorRT cannot execute the engine; its reasons are on stderr")

        execute()
        self._stream.synchronize()
        for buffer, values in outputs:
            cuda.memcpy_dtoh(values, buffer)
        tensors = [torch.from_numpy(values) for _, values in outputs]
        require_agreement(tensors, exported.expected, self._precision, "TensorRT")
        return execute

    def _buffer(self, role: str, number: int, like: npt.NDArray[np.generic]) -> cuda.DeviceAllocation:
        """Contexts hold addresses only, so the mode owns the buffers; equal number, shape and type share one."""
        key = (role, number, like.shape, like.dtype.str)
        if key not in self._buffers:
            self._buffers[key] = cuda.mem_alloc(like.nbytes)
        return self._buffers[key]
