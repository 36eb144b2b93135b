"""int8 by explicit quantization: Q/DQ nodes around what TensorRT computes in int8."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from profiler_agent.runtimes.exported.export import Exported

QUANTIZED = ["Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "MaxPool", "AveragePool", "GlobalAveragePool"]


class OneBatch(CalibrationDataReader):  # type: ignore[misc]
    """The batch that is timed: its ranges are those that the engine meets."""

    def __init__(self, feed: dict[str, npt.NDArray[np.generic]]) -> None:
        self._feeds = iter([feed])

    def get_next(self) -> dict[str, npt.NDArray[np.generic]] | None:
        return next(self._feeds, None)


def quantize(exported: Exported, *, for_cpu: bool = False) -> bytes:
    """The fp32 model with symmetric int8 Q/DQ nodes, weights per channel, activations calibrated by min-max.

    Symmetric, because TensorRT takes zero points of zero only. `for_cpu`: weights have 7 bits, because CPUs without
    VNNI add pairs of products in 16 bits, where those of 8 saturate; what they take is the same.

    Raises:
        RuntimeError: ONNX Runtime cannot calibrate it.
    """
    try:
        with TemporaryDirectory(prefix="profiler-agent-") as folder:
            source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
            source.write_bytes(exported.model)
            session = ort.InferenceSession(exported.model, providers=["CPUExecutionProvider"])
            names = [node.name for node in session.get_inputs()]
            feed = dict(zip(names, (tensor.numpy() for tensor in exported.inputs), strict=True))
            logging.getLogger().setLevel(logging.ERROR)  # it recommends preprocessing, which the exporter has done
            quantize_static(
                source,
                target,
                OneBatch(feed),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=QUANTIZED,
                nodes_to_exclude=_additions_of_numbers(exported.model),
                per_channel=True,
                reduce_range=for_cpu,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
            )
            return target.read_bytes()
    except Exception as error:  # ONNX Runtime's own exceptions share no base class of theirs
        raise RuntimeError(f"quantization: {error}") from error


def _additions_of_numbers(model: bytes) -> list[str]:
    """Names of nodes that add one number to a tensor, as GELU does: TensorRT takes no quantized scalar."""
    graph = onnx.load_model_from_string(model).graph
    numbers = {tensor.name for tensor in graph.initializer if not tensor.dims}
    return [node.name for node in graph.node if node.op_type == "Add" and numbers.intersection(node.input)]
