"""The operations of RANet (Yang et al., CVPR 2020) as its authors' code has them.

The space digest covers this file: it holds no f-string (lgcnet_search/space/operations.py says why).
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.blocks import Convolution, Gate, Operation, Shape, convolution
from adaptive_networks.core.definition import Definition


def bottleneck(channels: int, inner: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """1×1 to `inner` channels, 3×3 to `out_channels`."""
    return nn.Sequential(*convolution(channels, inner), *convolution(inner, out_channels, 3, stride))


def resized(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear to the height and width of `size`, corners on corners; nothing to do where it has them."""
    if x.shape[2:] == size[2:]:
        return x
    return F.interpolate(x, (size[2], size[3]), mode="bilinear", align_corners=True)


class DenseLayer(Operation):
    """x and `growth` channels made of it."""

    def __init__(self, shape: Shape, *, growth: int, inner: int) -> None:
        super().__init__()
        self.new = bottleneck(shape[0], inner, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.new(x)), dim=1)


class FusionLayer(Operation):
    """x, `up` channels made of the coarser sub-network's feature, and `growth` - `up` made of x, at one size."""

    def __init__(
        self, shape: Shape, coarser: Shape, *, growth: int, up: int, inner: int, inner_up: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.new = bottleneck(shape[0], inner, growth - up, stride)
        self.up = bottleneck(coarser[0], inner_up, up)

    def forward(self, x: Tensor, coarser: Tensor) -> Tensor:
        new = self.new(x)
        return torch.cat((resized(x, new.shape), resized(self.up(coarser), new.shape), new), dim=1)


class FusionEnd(Operation):
    """x and `out_channels` made of the coarser sub-network's last feature."""

    def __init__(self, _shape: Shape, coarser: Shape, *, out_channels: int) -> None:
        super().__init__()
        self.up = nn.Sequential(*convolution(coarser[0], out_channels))

    def forward(self, x: Tensor, coarser: Tensor) -> Tensor:
        return torch.cat((x, resized(self.up(coarser), x.shape)), dim=1)


class Head(Operation):
    """Two 3×3 convolutions of stride 2, the mean, and class logits."""

    def __init__(self, shape: Shape, *, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*convolution(shape[0], channels, 3, 2), *convolution(channels, channels, 3, 2))
        self.logits = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logits(self.layers(x).mean(dim=(2, 3)))
        return logits


DEFINITION = Definition(
    "ranet",
    {
        "conv": Convolution,
        "dense_layer": DenseLayer,
        "fusion_layer": FusionLayer,
        "fusion_end": FusionEnd,
        "transition": partial(Convolution, kernel=1),
        "head": Head,
        "gate": Gate,
    },
    __file__,
)
