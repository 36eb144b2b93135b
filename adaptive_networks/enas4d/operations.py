"""The operations of multi-stage networks: a reading of ENAS4D (Yuan et al. 2020), whose own convolution is not known.

The space digest covers this file: it holds no f-string (lgcnet_search/space/operations.py says why).
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.blocks import Convolution, Gate, Operation, Shape, convolution
from adaptive_networks.core.definition import Definition


class StageBlock(Operation):
    """An inverted residual of one stage on the features of all stages up to it, its own last.

    1×1 expansion of all of them to `hidden`, depthwise kernel, linear 1×1 projection; its own features are added where
    shapes agree. Earlier stages' features are read, never changed: nothing is computed twice.
    """

    def __init__(self, *shapes: Shape, kernel: int, hidden: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        channels = sum(shape[0] for shape in shapes)
        self.expand = nn.Sequential(*convolution(channels, hidden))
        self.depthwise = nn.Sequential(*convolution(hidden, hidden, kernel, stride, groups=hidden))
        self.project = nn.Sequential(*convolution(hidden, out_channels, act="none"))
        self.residual = stride == 1 and shapes[-1][0] == out_channels

    def forward(self, *features: Tensor) -> Tensor:
        x = torch.cat(features, dim=1) if len(features) > 1 else features[0]
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return features[-1] + y if self.residual else y


class Head(Operation):
    """1×1 convolution of all stages' features, the mean, and class logits."""

    def __init__(self, *shapes: Shape, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*convolution(sum(shape[0] for shape in shapes), channels))
        self.logits = nn.Linear(channels, classes)

    def forward(self, *features: Tensor) -> Tensor:
        x = torch.cat(features, dim=1) if len(features) > 1 else features[0]
        logits: Tensor = self.logits(self.layers(x).mean(dim=(2, 3)))
        return logits


class Resize(Operation):
    """Bilinear to side × side."""

    def __init__(self, _shape: Shape, *, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)


DEFINITION = Definition(
    "enas4d",
    {
        "resize": Resize,
        "conv": Convolution,
        "stage_block_k3": partial(StageBlock, kernel=3),
        "stage_block_k5": partial(StageBlock, kernel=5),
        "stage_block_k7": partial(StageBlock, kernel=7),
        "head": Head,
        "gate": Gate,
    },
    __file__,
)
