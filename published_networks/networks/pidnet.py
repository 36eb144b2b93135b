"""PIDNet-S (Xu et al. 2023, arXiv:2206.02066): Table 2, Figs. 4 to 7."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from published_networks.networks.blocks import Outputs, basic, basics, bottleneck, convolution, like, preactivated
from published_networks.networks.ddrnet import pools, preactivated_head

WIDTH = 32


class PidNet(nn.Module):
    """Detail, context and boundary branches; the boundary decides between the two others. Logits at stride 8."""

    def __init__(self, classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        wide = 2 * WIDTH
        self.stem = nn.Sequential(
            convolution(3, WIDTH, 3, 2), convolution(WIDTH, WIDTH, 3, 2), basics(WIDTH, WIDTH, 2), nn.ReLU()
        )
        self.shared = nn.Sequential(basics(WIDTH, wide, 2, stride=2), nn.ReLU())
        self.context = nn.ModuleList(
            [
                nn.Sequential(basics(wide, 2 * wide, 3, stride=2), nn.ReLU()),
                nn.Sequential(basics(2 * wide, 4 * wide, 3, stride=2), nn.ReLU()),
                nn.Sequential(
                    bottleneck(4 * wide, 4 * wide, 8 * wide, stride=2, linear=True),
                    bottleneck(8 * wide, 4 * wide, 8 * wide, linear=True),
                ),
            ]
        )
        self.pyramid = ParallelPyramid(8 * wide, 96, 2 * wide)
        self.detail = nn.ModuleList(
            [basics(wide, wide, 2), basics(wide, wide, 2), bottleneck(wide, wide, 2 * wide, linear=True)]
        )
        self.compressed = nn.ModuleList(convolution(2**stage * 2 * wide, wide, 1, activation=None) for stage in (0, 1))
        self.guided = nn.ModuleList([Guided(wide, WIDTH), Guided(wide, WIDTH)])
        self.boundary = nn.ModuleList(
            [
                basic(wide, WIDTH, linear=True),
                bottleneck(WIDTH, WIDTH, wide, linear=True),
                bottleneck(wide, wide, 2 * wide, linear=True),
            ]
        )
        self.difference = nn.ModuleList(
            [convolution(2 * wide, WIDTH, activation=None), convolution(4 * wide, wide, activation=None)]
        )
        self.merged = nn.ModuleList(convolution(2 * wide, 2 * wide, 1, activation=None) for _ in range(2))
        self.head = preactivated_head(2 * wide, 128, classes)
        heads = [preactivated_head(wide, 128, classes), preactivated_head(wide, WIDTH, 1)] if auxiliary else []
        self.auxiliary = nn.ModuleList(heads)

    def forward(self, images: Tensor) -> Outputs:
        detail = boundary = context = self.shared(self.stem(images))
        details, boundaries = [], []
        for stage in range(2):
            context = self.context[stage](context)
            fine, edges = self.detail[stage](detail), self.boundary[stage](boundary)
            fine = self.guided[stage](fine, self.compressed[stage](context))
            edges = edges + like(self.difference[stage](context), edges)
            details.append(fine)
            boundaries.append(edges)
            detail, boundary = F.relu(fine), F.relu(edges)
        detail, boundary = self.detail[2](detail), self.boundary[2](boundary)
        context = like(self.pyramid(self.context[2](context)), detail)
        edge = torch.sigmoid(boundary)
        first, second = self.merged
        value = first((1 - edge) * context + detail) + second(context + edge * detail)
        return [
            self.head(value),
            *(part(x) for part, x in zip(self.auxiliary, (details[0], boundaries[1]), strict=False)),
        ]


class Guided(nn.Module):
    """Pixel attention: how far each pixel follows the coarser branch (Fig. 5)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fine = convolution(channels, hidden, 1, activation=None)
        self.coarse = convolution(channels, hidden, 1, activation=None)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        alike = (self.fine(fine) * like(self.coarse(coarse), fine)).sum(1, keepdim=True)
        share = torch.sigmoid(alike)
        return (1 - share) * fine + share * like(coarse, fine)


class ParallelPyramid(nn.Module):
    """DDRNet's pyramid with its scales side by side in one grouped convolution (Fig. 6)."""

    def __init__(self, channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(preactivated(channels, hidden) for _ in range(5))
        self.process = preactivated(4 * hidden, 4 * hidden, 3, groups=4)
        self.compression = preactivated(5 * hidden, out_channels)
        self.shortcut = preactivated(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        first = self.scales[0](x)
        values = [first + like(scale(pooled), x) for scale, pooled in zip(self.scales[1:], pools(x), strict=True)]
        processed = self.process(torch.cat(values, 1))
        y: Tensor = self.compression(torch.cat((first, processed), 1)) + self.shortcut(x)
        return y
