"""The operations of residual networks (He et al. 2016), from which DDNN cuts blocks.

The space digest covers this file: it holds no f-string (lgcnet_search/space/operations.py says why).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.blocks import Classifier, Convolution, Operation, Shape, convolution
from adaptive_networks.core.definition import Definition


class Residual(Operation):
    """ReLU of a shortcut and what `layers` make of the input.

    Where shapes differ the shortcut is a 1×1 convolution with BatchNorm if `projected`; else every other pixel, and
    zeros for the channels that are new (He et al. 2016, option A).
    """

    def __init__(self, shape: Shape, layers: list[nn.Module], out_channels: int, stride: int, projected: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.stride = stride
        self.new = out_channels - shape[0]
        changes = stride > 1 or self.new > 0
        projection = convolution(shape[0], out_channels, 1, stride, act="none") if projected and changes else []
        self.shortcut = nn.Sequential(*projection) if projection else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        if self.shortcut is not None:
            return F.relu_(self.shortcut(x) + y)
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.new:
            x = F.pad(x, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
        return F.relu_(x + y)


class BasicBlock(Residual):
    """Two 3×3 convolutions."""

    def __init__(self, shape: Shape, *, out_channels: int, stride: int = 1, projected: bool = False) -> None:
        layers = convolution(shape[0], out_channels, 3, stride) + convolution(out_channels, out_channels, 3, act="none")
        super().__init__(shape, layers, out_channels, stride, projected)


class Bottleneck(Residual):
    """1×1 to `width` channels, 3×3 with the stride, 1×1 to four times as many."""

    def __init__(self, shape: Shape, *, width: int, stride: int = 1, projected: bool = True) -> None:
        layers = [
            *convolution(shape[0], width),
            *convolution(width, width, 3, stride),
            *convolution(width, 4 * width, act="none"),
        ]
        super().__init__(shape, layers, 4 * width, stride, projected)


DEFINITION = Definition(
    "ddnn",
    {"conv": Convolution, "basic_block": BasicBlock, "bottleneck": Bottleneck, "head": Classifier},
    __file__,
)
