"""BiSeNet V2 (Yu et al. 2021, arXiv:2004.02147): Table 1, Figs. 3 to 6."""

import torch
from torch import Tensor, nn

from published_networks.networks.blocks import Outputs, Residual, convolution, depthwise, head, like, mean

EXPANSION = 6
AUXILIARY_CHANNELS = 128


class BiSeNetV2(nn.Module):
    """A detail branch to stride 8, a thin semantic branch to stride 32, guided aggregation; logits at stride 8."""

    def __init__(self, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            convolution(3, 64, 3, 2),
            convolution(64, 64),
            convolution(64, 64, 3, 2),
            convolution(64, 64),
            convolution(64, 64),
            convolution(64, 128, 3, 2),
            convolution(128, 128),
            convolution(128, 128),
        )
        self.semantic = nn.ModuleList(
            [
                Stem(),
                nn.Sequential(gather_and_reduce(16, 32), gather_and_expand(32)),
                nn.Sequential(gather_and_reduce(32, 64), gather_and_expand(64)),
                nn.Sequential(gather_and_reduce(64, 128), *(gather_and_expand(128) for _ in range(3))),
            ]
        )
        self.context = Context()
        self.aggregation = Aggregation()
        self.head = head(128, 1024, classes)
        widths = (16, 32, 64, 128) if auxiliary else ()
        self.auxiliary = nn.ModuleList(head(width, AUXILIARY_CHANNELS, classes) for width in widths)

    def forward(self, images: Tensor) -> Outputs:
        detail = self.detail(images)
        stages, value = [], images
        for stage in self.semantic:
            value = stage(value)
            stages.append(value)
        logits = self.head(self.aggregation(detail, self.context(value)))
        return [logits, *(part(stage) for part, stage in zip(self.auxiliary, stages, strict=False))]


class Stem(nn.Module):
    """A quarter of the resolution by convolution and by pooling, side by side (Fig. 4a)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = convolution(3, 16, 3, 2)
        self.left = nn.Sequential(convolution(16, 8, 1), convolution(8, 16, 3, 2))
        self.right = nn.MaxPool2d(3, 2, 1)
        self.fused = convolution(32, 16)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        y: Tensor = self.fused(torch.cat((self.left(x), self.right(x)), 1))
        return y


def gather_and_expand(channels: int) -> Residual:
    """Fig. 5b: 3×3, depthwise 3×3 to six times the channels, 1×1 back."""
    hidden = channels * EXPANSION
    layers = nn.Sequential(
        convolution(channels, channels),
        convolution(channels, hidden, groups=channels),
        convolution(hidden, channels, 1, activation=None),
    )
    return Residual(layers, nn.Identity())


def gather_and_reduce(channels: int, out_channels: int) -> Residual:
    """Fig. 5c: the same at stride 2, with two depthwise convolutions and a separable shortcut."""
    hidden = channels * EXPANSION
    layers = nn.Sequential(
        convolution(channels, channels),
        convolution(channels, hidden, 3, 2, groups=channels, activation=None),
        depthwise(hidden),
        convolution(hidden, out_channels, 1, activation=None),
    )
    shortcut = nn.Sequential(
        depthwise(channels, 2, activation=None), convolution(channels, out_channels, 1, activation=None)
    )
    return Residual(layers, shortcut)


class Context(nn.Module):
    """Context embedding: the picture's mean added to every position (Fig. 4b)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(128)
        self.pooled = convolution(128, 128, 1)
        self.last = convolution(128, 128)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(x + self.pooled(self.norm(mean(x))))
        return y


class Aggregation(nn.Module):
    """Bilateral guided aggregation: each branch is weighed by the other, at both resolutions (Fig. 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.detail_keep = nn.Sequential(depthwise(128, activation=None), nn.Conv2d(128, 128, 1, bias=False))
        self.detail_down = nn.Sequential(convolution(128, 128, 3, 2, activation=None), nn.AvgPool2d(3, 2, 1))
        self.semantic_up = convolution(128, 128, activation=None)
        self.semantic_keep = nn.Sequential(depthwise(128, activation=None), nn.Conv2d(128, 128, 1, bias=False))
        self.last = convolution(128, 128, activation=None)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        fine = self.detail_keep(detail) * torch.sigmoid(like(self.semantic_up(semantic), detail))
        coarse = self.detail_down(detail) * torch.sigmoid(self.semantic_keep(semantic))
        y: Tensor = self.last(fine + like(coarse, detail))
        return y
