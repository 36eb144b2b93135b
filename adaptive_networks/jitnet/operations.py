"""The operations of JITNet (Mullapudi et al. 2019).

BatchNorm takes the frame's own statistics, in training and output alike, so nothing is folded. The space digest covers
this file: it holds no f-string (lgcnet_search/space/operations.py says why).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.blocks import Operation, Shape
from adaptive_networks.core.definition import Definition
from adaptive_networks.core.pixels import PixelLogits, Resize
from adaptive_networks.core.train_step import with_training


class FrameNorm(nn.Module):
    """BatchNorm by the statistics of what is given, always; ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True).relu_()


class Convolution(Operation):
    """3×3 convolution, BatchNorm, ReLU."""

    def __init__(self, shape: Shape, *, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape[0], out_channels, 3, stride, 1, bias=False)
        self.norm = FrameNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y


class Block(Operation):
    """BatchNorm and ReLU, then a 1×1 shortcut and 3×3, BatchNorm, ReLU, 1×3, 3×1, which are added.

    Where channels stay, the shortcut is every pixel of the stride.
    """

    def __init__(self, shape: Shape, *, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        channels = shape[0]
        self.stride = stride
        self.before = FrameNorm(channels)
        self.shortcut = nn.Conv2d(channels, out_channels, 1, stride, bias=False) if channels != out_channels else None
        self.conv = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.between = FrameNorm(out_channels)
        self.across = nn.Conv2d(out_channels, out_channels, (1, 3), padding=(0, 1), bias=False)
        self.down = nn.Conv2d(out_channels, out_channels, (3, 1), padding=(1, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        y: Tensor = self.down(self.across(self.between(self.conv(x))))
        return y + (x[:, :, :: self.stride, :: self.stride] if self.shortcut is None else self.shortcut(x))


class ResizeConcat(Operation):
    """The second input, and the first one resized to its height and width: corners on corners, bilinear."""

    def __init__(self, _shape: Shape, finer: Shape) -> None:
        super().__init__()
        self.size = finer[1:]

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        return torch.cat((finer, F.interpolate(x, self.size, mode="bilinear", align_corners=True)), dim=1)


class Classes(Operation):
    """The class with the largest logit, for each pixel: N×H×W."""

    def __init__(self, _shape: Shape) -> None:
        super().__init__()

    def forward(self, logits: Tensor) -> Tensor:
        return logits.max(dim=1).indices  # argmax takes four times as long on a CPU


DEFINITION = Definition(
    "jitnet",
    with_training(
        {
            "conv": Convolution,
            "jit_block": Block,
            "resize_concat": ResizeConcat,
            "resize": Resize,
            "logits": PixelLogits,
            "classes": Classes,
        }
    ),
    __file__,
    shared=("blocks.py", "pixels.py", "train_step.py"),
)
