"""The operations of DANCE: how complex an image is, a smaller image, and a small segmentation network.

The space digest covers this file: it holds no f-string (lgcnet_search/space/operations.py says why).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.blocks import Convolution, Operation, Shape
from adaptive_networks.core.definition import Definition
from adaptive_networks.core.pixels import PixelLogits, Resize
from adaptive_networks.core.train_step import with_training
from lgcnet_search.data.views import STD


class Complexity(Operation):
    """Spatial information: the mean length of the grey image's gradient (Sobel), N.

    Of values in 0..1, which normalized images have left; on means over 2×2 pixels, a quarter of the cost. One
    convolution takes grey and mean together.
    """

    grey: Tensor
    sobel: Tensor

    def __init__(self, _shape: Shape) -> None:
        super().__init__()
        grey = torch.tensor((0.299, 0.587, 0.114)) * torch.tensor(STD)
        across = torch.tensor(((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))) / 8
        self.register_buffer("grey", (grey / 4).view(1, 3, 1, 1).repeat(1, 1, 2, 2))
        self.register_buffer("sobel", torch.stack((across, across.T)).unsqueeze(1))

    def forward(self, images: Tensor) -> Tensor:
        grey = F.conv2d(images, self.grey, stride=2)
        return F.conv2d(grey, self.sobel).square().sum(dim=1).sqrt().mean(dim=(1, 2))


class DilatedConvolution(Operation):
    """3×3 convolution whose taps are `dilation` pixels apart, BatchNorm, ReLU."""

    def __init__(self, shape: Shape, *, out_channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(shape[0], out_channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class Concat(Operation):
    """All inputs as channels of one."""

    def __init__(self, *_shapes: Shape) -> None:
        super().__init__()

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, dim=1)


DEFINITION = Definition(
    "dance",
    with_training(
        {
            "complexity": Complexity,
            "downsample": Resize,
            "conv": Convolution,
            "dil_conv": DilatedConvolution,
            "concat": Concat,
            "logits": PixelLogits,
            "resize": Resize,
        }
    ),
    __file__,
    shared=("blocks.py", "pixels.py", "train_step.py"),
)
