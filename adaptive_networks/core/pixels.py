"""Operations of networks that classify every pixel.

The space digest of every system that takes them covers this file: it holds no f-string.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.blocks import Operation, Shape


class Resize(Operation):
    """Bilinear to `height` × `width`; pixels are areas, or points with `corners` on corners."""

    def __init__(self, _shape: Shape, *, height: int, width: int, corners: bool = False) -> None:
        super().__init__()
        self.size = (height, width)
        self.corners = corners

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, self.size, mode="bilinear", align_corners=self.corners)


class PixelLogits(Operation):
    """1×1 convolution with bias: a logit for each class and pixel."""

    def __init__(self, shape: Shape, *, classes: int) -> None:
        super().__init__()
        self.logits = nn.Conv2d(shape[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logits(x)
        return logits
