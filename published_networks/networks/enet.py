"""ENet (Paszke et al. 2016, arXiv:1606.02147): Table 1, Fig. 2."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from published_networks.networks.blocks import Outputs, convolution

REDUCTION = 4
"""Output channels of a bottleneck by those between its 1×1 convolutions."""


class Block(NamedTuple):
    """What stands between the two 1×1 convolutions of a bottleneck."""

    dilation: int = 1
    asymmetric: bool = False


STAGE = (Block(), Block(2), Block(asymmetric=True), Block(4), Block(), Block(8), Block(asymmetric=True), Block(16))
"""Bottlenecks 2.1 to 2.8; stage 3 repeats them."""


class ENet(nn.Module):
    """An encoder to stride 8 and a small decoder; its last transposed convolution reaches the input's size itself."""

    def __init__(self, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        if auxiliary:
            raise ValueError("auxiliary: ENet has no auxiliary heads")
        self.first = nn.Conv2d(3, 13, 3, 2, 1, bias=False)
        self.normed = nn.Sequential(nn.BatchNorm2d(16), nn.PReLU(16))
        self.down = nn.ModuleList([Down(16, 64), Down(64, 128)])
        self.encoder = nn.ModuleList(
            [
                nn.Sequential(*(Bottleneck(64, Block(), nn.PReLU) for _ in range(4))),
                nn.Sequential(*(Bottleneck(128, block, nn.PReLU) for block in STAGE + STAGE)),
            ]
        )
        self.up = nn.ModuleList([Up(128, 64), Up(64, 16)])
        self.decoder = nn.ModuleList(
            [
                nn.Sequential(*(Bottleneck(64, Block(), nn.ReLU) for _ in range(2))),
                Bottleneck(16, Block(), nn.ReLU),
            ]
        )
        self.last = nn.ConvTranspose2d(16, classes, 2, 2, bias=False)

    def forward(self, images: Tensor) -> Outputs:
        x = self.normed(torch.cat((self.first(images), F.max_pool2d(images, 2)), 1))
        masks = []
        for down, stage in zip(self.down, self.encoder, strict=True):
            value, maxima = down(x)
            masks.append(maxima)
            x = stage(value)
        for up, stage, maxima in zip(self.up, self.decoder, reversed(masks), strict=True):
            x = stage(up(x, maxima))
        return [self.last(x)]


def expansion(hidden: int, channels: int) -> nn.Sequential:
    return convolution(hidden, channels, 1, activation=None)


def prelu(channels: int, activation: type[nn.Module]) -> nn.Module:
    """The encoder's activation has a slope a channel, the decoder's is ReLU."""
    return nn.PReLU(channels) if activation is nn.PReLU else activation()


class Bottleneck(nn.Module):
    """1×1, a convolution of a kind, 1×1, beside the identity (Fig. 2b)."""

    def __init__(self, channels: int, block: Block, activation: type[nn.Module]) -> None:
        super().__init__()
        hidden = channels // REDUCTION
        if block.asymmetric:
            middle = [
                nn.Conv2d(hidden, hidden, (5, 1), padding=(2, 0), bias=False),
                *convolution(hidden, hidden, (1, 5), activation=None),
            ]
        else:
            middle = [*convolution(hidden, hidden, dilation=block.dilation, activation=None)]
        self.layers = nn.Sequential(
            *convolution(channels, hidden, 1, activation=None),
            prelu(hidden, activation),
            *middle,
            prelu(hidden, activation),
            expansion(hidden, channels),
        )
        self.activation = prelu(channels, activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(x + self.layers(x))
        return y


class Down(nn.Module):
    """Halves the resolution by a 2×2 convolution beside max pooling, whose channels are filled up with zeros.

    Also returns where the maxima were, as a mask of the input's size.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = out_channels // REDUCTION
        self.layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 2, 2, bias=False),
            nn.BatchNorm2d(hidden),
            nn.PReLU(hidden),
            *convolution(hidden, hidden, activation=None),
            nn.PReLU(hidden),
            expansion(hidden, out_channels),
        )
        self.fill = out_channels - channels
        self.activation = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled = F.max_pool2d(x, 2)
        filled = F.pad(pooled, (0, 0, 0, 0, 0, self.fill))
        maxima = (F.interpolate(pooled, scale_factor=2.0, mode="nearest") == x).to(x.dtype)
        return self.activation(filled + self.layers(x)), maxima


class Up(nn.Module):
    """Doubles the resolution by a transposed convolution beside max unpooling.

    Unpooling as a product with the mask of the maxima: it is what MaxUnpool computes where maxima are unique, and
    every runtime executes it.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = out_channels // REDUCTION
        self.main = convolution(channels, out_channels, 1, activation=None)
        self.layers = nn.Sequential(
            *convolution(channels, hidden, 1),
            nn.ConvTranspose2d(hidden, hidden, 3, 2, 1, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            expansion(hidden, out_channels),
        )

    def forward(self, x: Tensor, maxima: Tensor) -> Tensor:
        unpooled = F.interpolate(self.main(x), scale_factor=2.0, mode="nearest") * maxima
        return F.relu(unpooled + self.layers(x))
