"""Fast-SCNN (Poudel et al. 2019, arXiv:1902.04502): Tables 1 to 3, Fig. 1."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from published_networks.networks.blocks import (
    Outputs,
    Residual,
    area_means,
    convolution,
    depthwise,
    head,
    like,
    separable,
)

EXPANSION = 6
BINS = (1, 2, 3, 6)
STAGES = ((64, 64, 2), (64, 96, 2), (96, 128, 1))
"""Channels before and after, and the stride of the first of three bottlenecks."""


class FastScnn(nn.Module):
    """Learning to downsample to stride 8, deep features at stride 32, fusion; logits at stride 8."""

    def __init__(self, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.down = nn.Sequential(convolution(3, 32, 3, 2), separable(32, 48, 2), separable(48, 64, 2))
        self.deep = nn.Sequential(
            *(
                inverted(before if number == 0 else after, after, stride if number == 0 else 1)
                for before, after, stride in STAGES
                for number in range(3)
            )
        )
        self.branches = nn.ModuleList(convolution(128, 32, 1) for _ in BINS)
        self.pooled = convolution(256, 128, 1)
        self.coarse = nn.Sequential(
            convolution(128, 128, dilation=4, groups=128), convolution(128, 128, 1, activation=None)
        )
        self.fine = convolution(64, 128, 1, activation=None)
        self.head = nn.Sequential(separable(128, 128), separable(128, 128), nn.Conv2d(128, classes, 1))
        widths = (64, 128) if auxiliary else ()
        self.auxiliary = nn.ModuleList(head(width, 32, classes) for width in widths)

    def forward(self, images: Tensor) -> Outputs:
        fine = self.down(images)
        deep = self.deep(fine)
        pools = [like(branch(area_means(deep, bins)), deep) for branch, bins in zip(self.branches, BINS, strict=True)]
        context = self.pooled(torch.cat((deep, *pools), 1))
        fused = F.relu(self.fine(fine) + self.coarse(like(context, fine)))
        return [self.head(fused), *(part(x) for part, x in zip(self.auxiliary, (fine, context), strict=False))]


def inverted(channels: int, out_channels: int, stride: int) -> nn.Module:
    """MobileNetV2's bottleneck (Table 2)."""
    hidden = channels * EXPANSION
    layers = nn.Sequential(
        convolution(channels, hidden, 1),
        depthwise(hidden, stride),
        convolution(hidden, out_channels, 1, activation=None),
    )
    if stride == 1 and channels == out_channels:
        return Residual(layers, nn.Identity(), linear=True)
    return layers
