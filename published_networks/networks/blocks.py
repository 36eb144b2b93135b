"""What several of the networks are made of. Whatever is to be folded stands in a Sequential, BatchNorm behind its
convolution."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Outputs = list[Tensor]
"""Logits N×classes×height×width at the network's own stride, then those of auxiliary heads."""


def convolution(
    channels: int,
    out_channels: int,
    kernel: int | tuple[int, int] = 3,
    stride: int = 1,
    *,
    dilation: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution that keeps the size at stride 1, BatchNorm, activation (None: linear)."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (sides[0] - 1) // 2, dilation * (sides[1] - 1) // 2)
    layers = [
        nn.Conv2d(channels, out_channels, sides, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


def depthwise(channels: int, stride: int = 1, activation: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:
    """3×3 with one filter a channel."""
    return convolution(channels, channels, 3, stride, groups=channels, activation=activation)


def separable(channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Depthwise, then pointwise, each with BatchNorm and ReLU."""
    return nn.Sequential(depthwise(channels, stride), convolution(channels, out_channels, 1))


def preactivated(channels: int, out_channels: int, kernel: int = 1, groups: int = 1) -> nn.Sequential:
    """BatchNorm, ReLU, convolution: nothing to fold (He et al. 2016)."""
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False),
    )


def head(channels: int, hidden: int, classes: int) -> nn.Sequential:
    """3×3 convolution with BatchNorm and ReLU, then logits."""
    return nn.Sequential(convolution(channels, hidden), nn.Conv2d(hidden, classes, 1))


class Residual(nn.Module):
    """Layers beside a shortcut, the sum of both, ReLU unless it is linear."""

    def __init__(self, layers: nn.Module, shortcut: nn.Module, linear: bool = False) -> None:
        super().__init__()
        self.layers = layers
        self.shortcut = shortcut
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x) + self.shortcut(x)
        return y if self.linear else F.relu(y)


def projection(channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """The shortcut of a residual block: 1×1 where the shape changes."""
    if stride == 1 and channels == out_channels:
        return nn.Identity()
    return convolution(channels, out_channels, 1, stride, activation=None)


def basic(channels: int, out_channels: int, stride: int = 1, linear: bool = False) -> Residual:
    """Two 3×3 convolutions (ResNet-18's block)."""
    layers = nn.Sequential(
        convolution(channels, out_channels, 3, stride), convolution(out_channels, out_channels, activation=None)
    )
    return Residual(layers, projection(channels, out_channels, stride), linear)


def bottleneck(
    channels: int, hidden: int, out_channels: int, stride: int = 1, *, dilation: int = 1, linear: bool = False
) -> Residual:
    """1×1, 3×3 (with the stride), 1×1 (ResNet-50's block)."""
    layers = nn.Sequential(
        convolution(channels, hidden, 1),
        convolution(hidden, hidden, 3, stride, dilation=dilation),
        convolution(hidden, out_channels, 1, activation=None),
    )
    return Residual(layers, projection(channels, out_channels, stride), linear)


def basics(channels: int, out_channels: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """Basic blocks in a row, the last one linear, as DDRNet and PIDNet have them between their fusions."""
    rest = [basic(out_channels, out_channels, linear=number == blocks - 1) for number in range(1, blocks)]
    return nn.Sequential(basic(channels, out_channels, stride), *rest)


def resize(x: Tensor, size: Sequence[int], mode: str = "bilinear") -> Tensor:
    """To height × width; bilinear without aligned corners."""
    return F.interpolate(x, list(size), mode=mode)


def like(x: Tensor, other: Tensor) -> Tensor:
    """Bilinear to the height and width of `other`."""
    return resize(x, other.shape[2:])


def mean(x: Tensor) -> Tensor:
    """The mean of every channel, N×C×1×1."""
    return x.mean((2, 3), keepdim=True)


def area_means(x: Tensor, bins: int) -> Tensor:
    """Means of bins × bins equal windows that cover the picture and overlap where its size does not divide.

    As ICNet's Caffe model pools: stride floor(n / bins), kernel n - (bins - 1) × stride. Adaptive pooling has no form
    in ONNX where sizes do not divide.
    """
    sides = [int(side) for side in x.shape[2:]]
    strides = [max(1, side // bins) for side in sides]
    kernels = [max(1, side - (bins - 1) * stride) for side, stride in zip(sides, strides, strict=True)]
    return F.avg_pool2d(x, kernels, strides)


LINEAR_GAIN = 0.5
"""Of a convolution whose output is added to another value: sums grow by a quarter of their variance or so."""


def initialize(module: nn.Module) -> None:
    """Weights that keep the size of activations (He et al. 2015): denormals are slow, half precision overflows."""
    linear = {
        part[0]
        for part in module.modules()
        if isinstance(part, nn.Sequential) and len(part) == 2 and isinstance(part[1], nn.BatchNorm2d)
    }
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            taps = math.prod(layer.kernel_size)
            if isinstance(layer, nn.ConvTranspose2d):
                taps = max(1, taps // math.prod(layer.stride))
            gain = LINEAR_GAIN if layer in linear else 1 if layer.groups > 1 else 2
            with torch.no_grad():
                layer.weight.normal_(std=math.sqrt(gain / (taps * layer.in_channels / layer.groups)))
                if layer.bias is not None:
                    layer.bias.zero_()
