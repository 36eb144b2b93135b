"""A trained network for deployment: BatchNorm folded, as a state dict that says what it is, and as ONNX."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from lgcnet_search.errors import Refused
from lgcnet_search.space.fold import deploy
from lgcnet_search.space.network import DerivedNetwork
from lgcnet_search.training.weights import Weights

OPSET = 18
"""The newest that ONNX Runtime 1.18 and TensorRT 8.6 both read."""
TOLERANCE = 1e-4
"""Of the largest logit."""


class ExportError(Refused):
    """A network that cannot be exported; the message says why."""


def fold(weights: Weights) -> Weights:
    """The deployed form of trained weights. Raises WeightsError for a backbone alone."""
    if weights.folded:
        return weights
    network = deploy(weights.network())
    return Weights(weights.genotype, network.state_dict(), folded=True)


def export_onnx(network: DerivedNetwork, path: Path) -> float:
    """Write a deployed network as ONNX, input "images" 1×3×height×width, output "logits".

    Returns the largest difference between ONNX Runtime's and PyTorch's logits, as a share of the largest logit.
    Raises ExportError where it is above 1e-4 or the packages are missing.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  (what torch exports with)
    except ImportError as error:
        raise ExportError(f"{error.name} is not installed; install it with: pip install 'lgcnet[onnx]'") from error
    images = torch.randn(1, *network.genotype.space.input_shape, generator=torch.Generator().manual_seed(0))
    with _quiet(), torch.no_grad():
        expected = network(images).numpy()
        program = torch.onnx.export(
            network,
            (images,),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=["images"],
            output_names=["logits"],
        )
    if program is None:
        raise ExportError("torch.onnx.export gave no program")
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    difference = float(np.abs(logits - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        raise ExportError(
            f"ONNX Runtime's logits differ from PyTorch's by {difference:.1e} of the largest one; not written"
        )
    path.write_bytes(content)
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter logs which optional packages it lacks."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
