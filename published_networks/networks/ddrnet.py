"""DDRNet-23-slim (Hong et al. 2021, arXiv:2101.06085): Table 1, Figs. 4 and 5."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from published_networks.networks.blocks import (
    Outputs,
    basics,
    bottleneck,
    convolution,
    like,
    mean,
    preactivated,
)

POOLS = ((5, 2), (9, 4), (17, 8))
"""Kernels and strides of the pyramid, before the picture's mean."""


def preactivated_head(channels: int, hidden: int, classes: int) -> nn.Sequential:
    """BatchNorm, ReLU, 3×3, BatchNorm, ReLU, logits."""
    return nn.Sequential(
        nn.BatchNorm2d(channels), nn.ReLU(), *convolution(channels, hidden), nn.Conv2d(hidden, classes, 1)
    )


class DdrNetSlim(nn.Module):
    """Two resolutions from stride 8 on that are fused twice in both directions; logits at stride 8."""

    def __init__(self, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 32, 3, 2), convolution(32, 32, 3, 2), basics(32, 32, 2), nn.ReLU())
        self.shared = nn.Sequential(basics(32, 64, 2, stride=2), nn.ReLU())
        self.low = nn.ModuleList([basics(64, 128, 2, stride=2), basics(128, 256, 2, stride=2)])
        self.high = nn.ModuleList([basics(64, 64, 2), basics(64, 64, 2)])
        self.to_high = nn.ModuleList([convolution(width, 64, 1, activation=None) for width in (128, 256)])
        self.to_low = nn.ModuleList(
            [
                convolution(64, 128, 3, 2, activation=None),
                nn.Sequential(convolution(64, 128, 3, 2), convolution(128, 256, 3, 2, activation=None)),
            ]
        )
        self.low_last = bottleneck(256, 256, 512, stride=2, linear=True)
        self.high_last = bottleneck(64, 64, 128, linear=True)
        self.pyramid = DeepPyramid(512, 128, 128)
        self.head = preactivated_head(128, 64, classes)
        self.auxiliary = nn.ModuleList([preactivated_head(64, 64, classes)] if auxiliary else [])

    def forward(self, images: Tensor) -> Outputs:
        low = high = self.shared(self.stem(images))
        between = []
        for low_stage, high_stage, up, down in zip(self.low, self.high, self.to_high, self.to_low, strict=True):
            coarse, fine = low_stage(low), high_stage(high)
            low = F.relu(coarse + down(F.relu(fine)))
            fine = fine + like(up(F.relu(coarse)), fine)
            between.append(fine)
            high = F.relu(fine)
        fine = self.high_last(high)
        coarse = like(self.pyramid(self.low_last(low)), fine)
        return [self.head(fine + coarse), *(part(between[0]) for part in self.auxiliary)]


class DeepPyramid(nn.Module):
    """Deep aggregation pyramid pooling: each scale is added to the finer one before it (Fig. 5)."""

    def __init__(self, channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(preactivated(channels, hidden) for _ in range(len(POOLS) + 2))
        self.process = nn.ModuleList(preactivated(hidden, hidden, 3) for _ in range(len(POOLS) + 1))
        self.compression = preactivated(hidden * (len(POOLS) + 2), out_channels)
        self.shortcut = preactivated(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        values = [self.scales[0](x)]
        for scale, process, pooled in zip(self.scales[1:], self.process, pools(x), strict=True):
            values.append(process(like(scale(pooled), x) + values[-1]))
        y: Tensor = self.compression(torch.cat(values, 1)) + self.shortcut(x)
        return y


def pools(x: Tensor) -> list[Tensor]:
    """What the scales of a pyramid see: average pooling of growing windows, and the picture's mean."""
    return [*(F.avg_pool2d(x, kernel, stride, kernel // 2) for kernel, stride in POOLS), mean(x)]
