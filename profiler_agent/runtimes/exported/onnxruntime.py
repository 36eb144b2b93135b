"""A module exported to ONNX, executed by ONNX Runtime with IO binding on CPU or CUDA."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime as ort
import torch

from latency_tables.contract import Kernel, Runtime, Scalar
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes.agreement import require_agreement
from profiler_agent.runtimes.exported.blocked_layout import (
    BLOCKED,
    between_convolutions,
    block_channels,
    from_blocks,
    to_blocks,
)
from profiler_agent.runtimes.exported.export import Exported, export
from profiler_agent.runtimes.exported.kernels import ModelNodes
from profiler_agent.runtimes.exported.session import Provider, open_session, quiet_options
from profiler_agent.runtimes.inputs import RandomInputs
from profiler_agent.runtimes.requirements import available_cores
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Clock, Execute
from profiler_agent.timing.cuda import CudaEventClock
from profiler_agent.timing.host import HostClock

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16}
ELEMENT_TYPES = {
    "tensor(float)": (torch.float32, 1),
    "tensor(uint8)": (torch.uint8, 2),
    "tensor(int8)": (torch.int8, 3),
    "tensor(int16)": (torch.int16, 5),
    "tensor(int32)": (torch.int32, 6),
    "tensor(int64)": (torch.int64, 7),
    "tensor(bool)": (torch.bool, 9),
    "tensor(float16)": (torch.float16, 10),
    "tensor(double)": (torch.float64, 11),
    "tensor(bfloat16)": (torch.bfloat16, 16),
}
"""ONNX Runtime's types: PyTorch's, and TensorProto.DataType, which IO binding takes beside NumPy's types."""


class OnnxRuntimeMode:
    """One session a module, all graph optimizations on; inputs and outputs are bound once, so no copy is timed.

    On a CPU, parts of networks are executed as between convolutions, see blocked_layout.py.

    Raises:
        JobFailed: this ONNX Runtime has no provider for the device.
    """

    def __init__(self, runtime: Runtime, device: torch.device) -> None:
        self._device = device
        self._precision = runtime.precision
        self._dtype = DTYPES[runtime.precision]
        self._in_blocks = device.type == "cpu" and block_channels() > 1
        self._random = RandomInputs(torch.device("cpu"), torch.float32)
        self._buffers: dict[tuple[str, int, str, tuple[int, ...]], torch.Tensor] = {}
        self._options = quiet_options()
        self._options.inter_op_num_threads = 1
        # Every session has its own threads and all of them are ready at once: they must not spin beside each other.
        self._options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # None where none are needed: any at all cost 30 µs an execution (ONNX Runtime 1.31), more than many operations.
        self._run_options: ort.RunOptions | None = None
        self._kernels: dict[Execute, tuple[Kernel, ...] | None] = {}
        self.settings: dict[str, Scalar] = {
            "memory_format": "contiguous",
            "batch_norm": "as the space deploys it",
            "exporter": "torch.onnx dynamo",
            "graph_optimizations": "all",
            "context": "between convolutions" if self._in_blocks else "alone",
            "arena": bool(self._options.enable_cpu_mem_arena),
            "spinning": False,
        }
        if device.type == "cuda":
            self._open_cuda(device)
        else:
            threads = runtime.threads or available_cores()
            torch.set_num_threads(threads)
            self._options.intra_op_num_threads = threads
            self.settings["threads"] = threads
            self._providers: list[Provider] = ["CPUExecutionProvider"]
            self.clock: Clock = HostClock()

    def prepare(self, subject: Subject) -> Execute:
        """Export a module, bind random inputs, and check its outputs against PyTorch's.

        Raises:
            Mismatch: the exported module computes something else.
            RuntimeError: it cannot be exported or executed.
        """
        finish = between_convolutions if subject.is_part and self._in_blocks else bytes
        exported = export(subject, self._random(subject.input_shapes), self._dtype, finish)
        session, kernels = self._open(exported.model, is_part=subject.is_part)
        binding, outputs = self._bind(session, exported)
        try:
            session.run_with_iobinding(binding, self._run_options)
        except Exception as error:  # as in open_session
            raise RuntimeError(f"ONNX Runtime: {error}") from error
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        plain = [
            from_blocks(output, expected.shape[1]) if node.name.startswith(BLOCKED) else output
            for node, output, expected in zip(session.get_outputs(), outputs, exported.expected, strict=True)
        ]
        require_agreement(plain, exported.expected, self._precision, "ONNX Runtime")

        def execute() -> None:
            session.run_with_iobinding(binding, self._run_options)

        self._kernels[execute] = kernels
        return execute

    def kernels(self, execute: Execute) -> tuple[Kernel, ...] | None:
        """The nodes of the optimized model, with those of the exported one that each executes; of networks only."""
        return self._kernels[execute]

    def _open(self, model: bytes, *, is_part: bool) -> tuple[ort.InferenceSession, tuple[Kernel, ...] | None]:
        if is_part:
            return open_session(model, self._options, self._providers), None
        with TemporaryDirectory(prefix="optimized-") as folder:
            path = Path(folder) / "model.onnx"
            self._options.optimized_model_filepath = str(path)
            try:
                session = open_session(model, self._options, self._providers)
            finally:
                self._options.optimized_model_filepath = ""
            return session, ModelNodes(model).kernels_of(onnx.load(path))

    def _open_cuda(self, device: torch.device) -> None:
        if "CUDAExecutionProvider" not in ort.get_available_providers():
            raise JobFailed("this onnxruntime has no CUDA provider; pip install onnxruntime-gpu in place of it")
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        tf32 = self._precision == "tf32"
        options = {
            "device_id": str(device.index or 0),
            "user_compute_stream": str(stream.cuda_stream),
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "use_tf32": str(int(tf32)),
        }
        self._providers = [("CUDAExecutionProvider", options)]
        # A part that falls back to the CPU would be timed as if it were the GPU's.
        self._options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        # The events wait for the stream; waiting after every execution would be timed.
        self._run_options = ort.RunOptions()
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self.settings |= {"cudnn_conv_algo_search": "exhaustive", "tf32": tf32}
        self.clock = CudaEventClock(device, stream)

    def _bind(self, session: ort.InferenceSession, exported: Exported) -> tuple[ort.IOBinding, list[torch.Tensor]]:
        binding = session.io_binding()
        values = self._as_bound(session.get_inputs(), exported.inputs)
        inputs = self._buffers_of("in", session.get_inputs(), values)
        for buffer, value in zip(inputs, values, strict=True):
            buffer.copy_(value)
        expected = self._as_bound(session.get_outputs(), exported.expected)
        outputs = self._buffers_of("out", session.get_outputs(), expected)
        for bind, nodes, tensors in (
            (binding.bind_input, session.get_inputs(), inputs),
            (binding.bind_output, session.get_outputs(), outputs),
        ):
            for node, tensor in zip(nodes, tensors, strict=True):
                bind(
                    node.name,
                    self._device.type,
                    self._device.index or 0,
                    ELEMENT_TYPES[node.type][1],
                    list(tensor.shape),
                    tensor.data_ptr(),
                )
        return binding, outputs

    @staticmethod
    def _as_bound(nodes: Sequence[ort.NodeArg], values: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
        pairs = zip(nodes, values, strict=True)
        return [to_blocks(value) if node.name.startswith(BLOCKED) else value for node, value in pairs]

    def _buffers_of(
        self, role: str, nodes: Sequence[ort.NodeArg], values: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Bindings hold addresses only, so the mode owns the buffers; equal role, number, type and shape share one.

        Raises:
            ValueError: an output is of a type that cannot be bound.
        """
        buffers = []
        for number, (node, value) in enumerate(zip(nodes, values, strict=True)):
            if node.type not in ELEMENT_TYPES:
                raise ValueError(f"{role}put {number} ({node.name}) is of type {node.type}, which cannot be bound")
            key = (role, number, node.type, tuple(value.shape))
            if key not in self._buffers:
                self._buffers[key] = torch.empty(value.shape, dtype=ELEMENT_TYPES[node.type][0], device=self._device)
            buffers.append(self._buffers[key])
        return buffers
