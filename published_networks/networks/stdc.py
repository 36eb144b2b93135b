"""STDC and STDC-Seg (Fan et al. 2021, arXiv:2104.13188): Table 2, Figs. 3 and 4."""

import torch
from torch import Tensor, nn

from published_networks.networks.blocks import Outputs, convolution, depthwise, head, mean, resize

STDC1 = (2, 2, 2)
STDC2 = (4, 5, 3)
"""Modules in the stages of stride 8, 16, 32."""

WIDTHS = (256, 512, 1024)


class Module(nn.Module):
    """Short-term dense concatenation: four convolutions, each of half the channels before it, side by side (Fig. 3).

    At stride 2 a depthwise convolution and an average pooling reduce behind the first of them.
    """

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.first = convolution(channels, half, 1)
        self.reduce = depthwise(half, 2, activation=None) if stride == 2 else nn.Identity()
        self.skip = nn.AvgPool2d(3, 2, 1) if stride == 2 else nn.Identity()
        self.others = nn.ModuleList(
            [
                convolution(half, half // 2),
                convolution(half // 2, half // 4),
                convolution(half // 4, half // 4),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        parts, value = [self.skip(first)], self.reduce(first)
        for layer in self.others:
            value = layer(value)
            parts.append(value)
        return torch.cat(parts, 1)


class Backbone(nn.Module):
    """Features at strides 8, 16, 32."""

    def __init__(self, modules: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 32, 3, 2), convolution(32, 64, 3, 2))
        self.stages = nn.ModuleList()
        channels = 64
        for width, count in zip(WIDTHS, modules, strict=True):
            rest = [Module(width, width, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(Module(channels, width, 2), *rest))
            channels = width

    def forward(self, images: Tensor) -> list[Tensor]:
        value, features = self.stem(images), []
        for stage in self.stages:
            value = stage(value)
            features.append(value)
        return features


class Classifier(nn.Module):
    """The backbone with its ImageNet head: what Table 2 counts."""

    def __init__(self, modules: tuple[int, ...]) -> None:
        super().__init__()
        self.backbone = Backbone(modules)
        self.last = convolution(1024, 1024, 1)
        self.hidden = nn.Sequential(nn.Linear(1024, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU())
        self.logits = nn.Linear(1024, 1000, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        pooled = mean(self.last(self.backbone(images)[-1])).flatten(1)
        y: Tensor = self.logits(self.hidden(pooled))
        return y


class Attention(nn.Module):
    """Attention refinement: 3×3 to 128 channels, weighed by the picture's mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = convolution(channels, 128)
        self.weights = convolution(128, 128, 1, activation=nn.Sigmoid)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        weights: Tensor = self.weights(mean(y))
        return y * weights


class Fusion(nn.Module):
    """Feature fusion of BiSeNet: concatenation, 1×1, and a gate from the picture's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = convolution(256 + 128, 256, 1)
        self.gate = nn.Sequential(
            nn.Conv2d(256, 64, 1, bias=False), nn.ReLU(), nn.Conv2d(64, 256, 1, bias=False), nn.Sigmoid()
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        y: Tensor = self.layers(torch.cat((fine, coarse), 1))
        gate: Tensor = self.gate(mean(y))
        return y + y * gate


class StdcSeg(nn.Module):
    """STDC-Seg with detail guidance in training only; logits at stride 8 (Fig. 4)."""

    def __init__(self, modules: tuple[int, ...], classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.backbone = Backbone(modules)
        self.pooled = convolution(1024, 128, 1)
        self.attention = nn.ModuleList([Attention(512), Attention(1024)])
        self.after = nn.ModuleList([convolution(128, 128), convolution(128, 128)])
        self.fusion = Fusion()
        self.head = head(256, 256, classes)
        outputs = ((128, classes), (128, classes), (256, 1)) if auxiliary else ()
        self.auxiliary = nn.ModuleList(head(width, 64, channels) for width, channels in outputs)

    def forward(self, images: Tensor) -> Outputs:
        fine, middle, coarse = self.backbone(images)
        value = self.attention[1](coarse) + self.pooled(mean(coarse))
        at_16 = self.after[1](resize(value, middle.shape[2:], "nearest"))
        value = self.attention[0](middle) + at_16
        at_8 = self.after[0](resize(value, fine.shape[2:], "nearest"))
        logits = self.head(self.fusion(fine, at_8))
        return [logits, *(part(x) for part, x in zip(self.auxiliary, (at_8, at_16, fine), strict=False))]
