"""The operations of the space as they are deployed: all that the space digest covers.

An operation is a whole block with its folded BatchNorms and activations, not one of the convolutions in it. Between
them the expanded tensor stays in the cache, and engines fuse what is inside (convolution with activation, projection
with the residual sum), so the parts measured alone would not add up to the block. A block ends linearly or in a sum,
where no engine fuses it with the next: blocks do add up, in every mode. The price is small: where widths are searched,
parts have a row for every pair of channels as well (at the default widths 377 rows of blocks, 314 of parts).
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from latency_tables.contract import OperationSpec

Shape = tuple[int, ...]


class Operation(nn.Module):
    """A module that executes one OperationSpec; the input of `forward` is N×C×H×W."""

    spec: OperationSpec


class Stem(Operation):
    """3×3 convolution of stride 2, BatchNorm, ReLU6."""

    def __init__(self, shape: Shape, *, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_convolution(shape[0], out_channels, kernel=3, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class InvertedResidual(Operation):
    """1×1 expansion, depthwise convolution, linear 1×1 projection (Sandler et al. 2018, Table 1).

    The input is added where it has the output's shape; without expansion (1) the first convolution is left out.
    """

    def __init__(self, shape: Shape, *, kernel: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        channels = shape[0]
        hidden = channels * expansion
        self.layers = nn.Sequential(
            *([] if expansion == 1 else _convolution(channels, hidden)),
            *_convolution(hidden, hidden, kernel, stride, groups=hidden),
            *_convolution(hidden, out_channels, linear=True),
        )
        self.residual = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class Classifier(Operation):
    """1×1 convolution, BatchNorm, ReLU6, mean over the picture, class logits N×classes."""

    def __init__(self, shape: Shape, *, hidden: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_convolution(shape[0], hidden))
        self.logits = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.logits(self.layers(x).mean(dim=(2, 3)))
        return y


OPERATIONS: dict[str, Callable[..., Operation]] = {
    "stem": Stem,
    "inverted_residual_3x3": partial(InvertedResidual, kernel=3),
    "inverted_residual_5x5": partial(InvertedResidual, kernel=5),
    "inverted_residual_7x7": partial(InvertedResidual, kernel=7),
    "classifier": Classifier,
}
"""By the names that keys have: a calibration learns what operations of one name have in common."""


def build(spec: OperationSpec) -> Operation:
    """Make the module of a spec, in training mode, weights drawn from torch's generator.

    Raises ValueError naming what is unknown or missing.
    """
    if spec.name not in OPERATIONS:
        raise ValueError(f"name: unknown operation {spec.name!r}; known are {', '.join(OPERATIONS)}")
    try:
        operation = OPERATIONS[spec.name](*spec.input_shapes, **dict(spec.params))
    except TypeError as error:
        raise ValueError(f"params of {spec}: {error}") from error
    operation.spec = spec
    return operation


def deploy(operation: Operation) -> Operation:
    """Evaluation mode, every BatchNorm folded into the convolution before it; outputs stay those of `eval()`."""
    operation.eval().requires_grad_(False)
    folded: list[nn.Module] = []
    for layer in operation.get_submodule("layers").children():
        if isinstance(layer, nn.BatchNorm2d):
            convolution = folded.pop()
            assert isinstance(convolution, nn.Conv2d)
            layer = fuse_conv_bn_eval(convolution, layer)
        folded.append(layer)
    operation.layers = nn.Sequential(*folded)
    return operation


def _convolution(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, linear: bool = False
) -> list[nn.Module]:
    """Convolution, BatchNorm and, unless it is linear, ReLU6.

    The weights keep the size of what flows through them (He et al. 2015), also once BatchNorm is folded away: denormals
    are slow, and half precision overflows; both would falsify a latency.
    """
    convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    with torch.no_grad():
        convolution.weight.normal_(std=math.sqrt((1 if linear else 2) * groups / (kernel**2 * in_channels)))
    return [convolution, nn.BatchNorm2d(out_channels), *([] if linear else [nn.ReLU6(inplace=True)])]
