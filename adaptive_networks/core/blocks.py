"""Operations that several systems execute, and how all of them are built and initialized.

The space digest of every system covers this file: see lgcnet_search/space/operations.py for why it holds no f-string.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, ...]

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "hardswish": nn.Hardswish}


def convolution(
    channels: int,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    act: str = "relu",
    bias: bool = False,
) -> list[nn.Module]:
    """Convolution, BatchNorm and, unless `act` is "none", an activation: parts of a Sequential, which can be folded."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=bias),
        nn.BatchNorm2d(out_channels),
    ]
    return layers if act == "none" else [*layers, ACTIVATIONS[act](inplace=True)]


class Operation(nn.Module):
    """A module that executes one OperationSpec; the inputs of `forward` are in the order of the spec."""


class Foldable(nn.Module):
    """A part of an operation with weights and a BatchNorm that those of a convolution do not cover."""

    def draw(self) -> None:
        """Draw its weights from torch's generator."""
        raise NotImplementedError

    def fold(self) -> None:
        """Put its BatchNorm into its weights, in evaluation mode."""
        raise NotImplementedError


class Convolution(Operation):
    """Convolution, BatchNorm, activation; a 3×3 max pooling of stride 2 behind it where `pool` says so."""

    def __init__(
        self,
        shape: Shape,
        *,
        kernel: int,
        out_channels: int,
        stride: int = 1,
        act: str = "relu",
        bias: bool = False,
        pool: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(*convolution(shape[0], out_channels, kernel, stride, act=act, bias=bias))
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return F.max_pool2d(y, 3, 2, padding=1) if self.pool else y


class InvertedResidual(Operation):
    """1×1 expansion to `hidden`, depthwise kernel, linear 1×1 projection (Sandler et al. 2018, Howard et al. 2019).

    Without expansion the first convolution is left out; `se` is squeeze-and-excitation with a quarter of `hidden`,
    rounded to multiples of 8. The input is added where it has the output's shape.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        kernel: int,
        hidden: int,
        out_channels: int,
        stride: int = 1,
        se: bool = False,
        act: str = "relu",
    ) -> None:
        super().__init__()
        expand = [] if hidden == shape[0] else convolution(shape[0], hidden, act=act)
        self.expand = nn.Sequential(*expand, *convolution(hidden, hidden, kernel, stride, groups=hidden, act=act))
        self.excite = SqueezeExcitation(hidden) if se else None
        self.project = nn.Sequential(*convolution(hidden, out_channels, act="none"))
        self.residual = stride == 1 and shape[0] == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.expand(x)
        if self.excite is not None:
            y = self.excite(y)
        y = self.project(y)
        return x + y if self.residual else y


class SqueezeExcitation(nn.Module):
    """Scales channels by what their means say of them (Hu et al. 2018), hard sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = rounded(channels / 4)
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.squeeze(x.mean(dim=(2, 3), keepdim=True)).relu()
        return x * F.hardsigmoid(self.excite(scale))


class Classifier(Operation):
    """Mean over the picture and one linear layer; with `hidden`, a linear layer and hard swish between: N×outputs."""

    def __init__(self, shape: Shape, *, outputs: int, hidden: int = 0) -> None:
        super().__init__()
        self.hidden = nn.Linear(shape[0], hidden) if hidden else None
        self.logits = nn.Linear(hidden or shape[0], outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean(dim=(2, 3))
        if self.hidden is not None:
            y = F.hardswish(self.hidden(y))
        logits: Tensor = self.logits(y)
        return logits


class Gate(Operation):
    """Confidence: the largest class probability of the first `classes` outputs, N×outputs to N."""

    def __init__(self, shape: Shape, *, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes or shape[0]

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs[:, : self.classes].softmax(dim=1).amax(dim=1)


class Shrink(Operation):
    """Means over areas of `factor` × `factor` pixels."""

    def __init__(self, _shape: Shape, *, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.factor)


def rounded(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` that is nearest, and no less than 0.9 of `channels` (Howard et al. 2019)."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


def initialize(module: nn.Module) -> None:
    """Draw weights that keep the second moment of what flows through them, also with BatchNorm folded.

    He et al. 2015, fan in; gain 2 makes up for a ReLU, which follows all but depthwise and linear layers.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            dense = isinstance(layer, nn.Conv2d) and layer.groups == 1
            nn.init.normal_(layer.weight, std=math.sqrt((2 if dense else 1) / layer.weight[0].numel()))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, Foldable):
            layer.draw()
