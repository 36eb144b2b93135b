"""Mode `openvino`: the module exported to ONNX, compiled by OpenVINO for the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from latency_tables.contract import Kernel, Runtime, Scalar
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes.agreement import require_agreement
from profiler_agent.runtimes.inputs import RandomInputs
from profiler_agent.runtimes.interface import ModeEntry, Ran, RuntimeMode
from profiler_agent.runtimes.requirements import available_cores
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import Execute
from profiler_agent.timing.host import HostClock

if TYPE_CHECKING:
    import openvino as ov

    from profiler_agent.runtimes.exported.kernels import ModelNodes

STREAMS = 1
IMAGE_AXES = 4
INFERENCE_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What OpenVINO may compute in where the model leaves it open: int8 stands in the model, as Q/DQ nodes."""


class OpenVinoMode:
    """One compiled model a module; inputs and outputs are bound once, so no copy is timed.

    Parts of networks are executed as between convolutions, see `compiled`.

    Raises:
        JobFailed: the CPU lacks the precision.
        ImportError: OpenVINO is not installed.
    """

    def __init__(self, runtime: Runtime, device: torch.device) -> None:
        import openvino
        from openvino import preprocess

        from profiler_agent.runtimes.exported import export, kernels, quantize

        del device
        self._library, self._preprocess = openvino, preprocess
        self._export, self._quantize = export.export, quantize.quantize
        self._nodes_of = kernels.ModelNodes
        self._core = openvino.Core()
        self._precision = runtime.precision
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if runtime.precision == "bf16" and "BF16" not in able:
            raise JobFailed(f"precision 'bf16': OpenVINO has {', '.join(able)} on this CPU; take fp32")
        self._random = RandomInputs(torch.device("cpu"), torch.float32)
        self._inputs: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}
        self._outputs: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}
        self._kernels: dict[Execute, tuple[Kernel, ...]] = {}
        threads = runtime.threads or available_cores()
        torch.set_num_threads(threads)
        self._options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": STREAMS,
            "INFERENCE_PRECISION_HINT": INFERENCE_PRECISIONS[runtime.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # the agent pins its process
        }
        self.settings: dict[str, Scalar] = {
            "openvino_version": openvino.get_version(),
            "memory_format": "contiguous in and out, chosen by OpenVINO between",
            "batch_norm": "as the space deploys it",
            "exporter": "torch.onnx dynamo",
            "context": "between convolutions",
            "inference_precision": INFERENCE_PRECISIONS[runtime.precision],
            "streams": STREAMS,
            "threads": threads,
            **(
                {"calibration": "min-max on the timed random inputs", "weight_bits": 7}
                if runtime.precision == "int8"
                else {}
            ),
        }
        self.clock = HostClock()

    def prepare(self, subject: Subject) -> Execute:
        """Compile a module, bind random inputs, and check its outputs against PyTorch's.

        Raises:
            Mismatch: the compiled model computes something else.
            RuntimeError: it cannot be exported or compiled.
        """
        exported = self._export(subject, self._random(subject.input_shapes), torch.float32)
        model = self._quantize(exported, for_cpu=True) if self._precision == "int8" else exported.model
        compiled, channels_last = self.compiled(model, is_part=subject.is_part)
        request = compiled.create_infer_request()
        for number, value in enumerate(exported.inputs):
            bound = self._input(number, value) if channels_last else value
            request.set_input_tensor(number, self._library.Tensor(bound.numpy(), shared_memory=True))
        likes = [_channels_last(value) if channels_last else value for value in exported.expected]
        buffers = [self._output(number, like) for number, like in enumerate(likes)]
        for number, buffer in enumerate(buffers):
            request.set_output_tensor(number, self._library.Tensor(buffer.numpy(), shared_memory=True))

        def execute() -> None:
            request.infer(share_outputs=True)

        execute()
        outputs = [_channels_first(buffer) if channels_last else buffer for buffer in buffers]
        require_agreement(outputs, exported.expected, self._precision, "OpenVINO")
        self._kernels[execute] = _kernels_of(compiled, self._nodes_of(exported.model))
        return execute

    def compiled(self, model: bytes, *, is_part: bool) -> tuple[ov.CompiledModel, bool]:
        """A model compiled, and whether its images have their channels last.

        Inside a network, OpenVINO passes images on with their channels last, from one convolution to the next; an
        operation alone brings its inputs into that layout and its outputs back, which may take as long as it does. So
        a part of a network gets and gives images as convolutions would, unless that adds transpositions: what is
        computed element by element takes any layout, and alone it takes the one that it is given.
        """
        plain = self._compile(self._core.read_model(model, b""))
        if not is_part:
            return plain, False
        reading = self._core.read_model(model, b"")
        processing = self._preprocess.PrePostProcessor(reading)
        for ports, part_of in ((reading.inputs, processing.input), (reading.outputs, processing.output)):
            for number, port in enumerate(ports):
                if len(port.shape) == IMAGE_AXES:
                    part_of(number).tensor().set_layout(self._library.Layout("NHWC"))
                    part_of(number).model().set_layout(self._library.Layout("NCHW"))
        last = self._compile(processing.build())
        return (plain, False) if _transpositions(last) > _transpositions(plain) else (last, True)

    def _compile(self, model: ov.Model) -> ov.CompiledModel:
        return self._core.compile_model(model, "CPU", self._options)

    def kernels(self, execute: Execute) -> tuple[Kernel, ...]:
        """The nodes of OpenVINO's runtime graph, with the nodes of the model that each executes."""
        return self._kernels[execute]

    def _input(self, number: int, value: torch.Tensor) -> torch.Tensor:
        """A random input with its channels last. Requests hold addresses only, so the mode owns it; see `_output`."""
        return self._inputs.setdefault((number, tuple(value.shape)), _channels_last(value))

    def _output(self, number: int, like: torch.Tensor) -> torch.Tensor:
        """Requests hold addresses only, so the mode owns the buffers; equal number and shape share one."""
        return self._outputs.setdefault((number, tuple(like.shape)), torch.empty(like.shape))


def _kernels_of(compiled: ov.CompiledModel, nodes: ModelNodes) -> tuple[Kernel, ...]:
    return tuple(Kernel(kind=kind, nodes=nodes.named(names.split(","))) for kind, names in _executed(compiled))


def _transpositions(compiled: ov.CompiledModel) -> int:
    return sum(kind == "Transpose" for kind, _ in _executed(compiled))


def _executed(compiled: ov.CompiledModel) -> Iterator[tuple[str, str]]:
    """The kind of each node that is executed, which constants, inputs and outputs are not, and what it comes from."""
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = {name: str(value.value) for name, value in node.get_rt_info().items()}
        kind = facts.get("layerType", "")
        if kind not in ("Const", "Input", "Output", ""):
            yield kind, facts.get("originalLayersNames", "")


def _channels_last(value: torch.Tensor) -> torch.Tensor:
    return value.permute(0, 2, 3, 1).contiguous() if value.dim() == IMAGE_AXES else value


def _channels_first(value: torch.Tensor) -> torch.Tensor:
    return value.permute(0, 3, 1, 2) if value.dim() == IMAGE_AXES else value


def _open(runtime: Runtime, device: torch.device) -> RuntimeMode:
    return OpenVinoMode(runtime, device)


ENTRY = ModeEntry(
    _open,
    extra="openvino",
    precisions={"cpu": ("fp32", "bf16", "int8")},
    ran={
        "cpu": Ran(
            "run",
            "all 95 operations of LGCNet, as they stand between convolutions, and 135 networks at 193×385 equal "
            "PyTorch's outputs within 1e-4 of their scale; bf16 and int8 with a small network",
        )
    },
    distributions=("openvino",),
)
