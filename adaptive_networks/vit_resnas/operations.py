"""The operations of multi-stage vision transformers with residual spatial reduction (Liao et al. 2021).

Tokens are N×(1 + patches)×channels, the class token first. The space digest covers this file: it holds no f-string
(lgcnet_search/space/operations.py says why).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.blocks import Operation, Shape, convolution
from adaptive_networks.core.definition import Definition

EPS = 1e-6


def embedding(tokens: int, channels: int) -> nn.Parameter:
    """What is added to tokens, or is one."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(tokens, channels), std=0.02))


class PatchEmbed(Operation):
    """Three 3×3 convolutions to `stem` channels, the first of stride 2 and added to the last; patches as tokens."""

    def __init__(self, shape: Shape, *, stem: int, patch: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(*convolution(shape[0], stem, 3, 2))
        self.second = nn.Sequential(*convolution(stem, stem, 3), *convolution(stem, stem, 3))
        self.patches = nn.Conv2d(stem, channels, patch, patch)
        self.token = embedding(1, channels)
        self.position = embedding(1 + (shape[1] // 2 // patch) * (shape[2] // 2 // patch), channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        patches = self.patches(x + self.second(x)).flatten(2).transpose(1, 2)
        return torch.cat((self.token.expand(len(x), 1, -1), patches), dim=1) + self.position


class Branch(Operation):
    """Tokens, and what `expand` and `project` make of them normalized; some of `units` between may be left out.

    In training an image goes without the branch with probability `dropped` (stochastic depth, Huang et al. 2016).
    """

    def __init__(self, shape: Shape, units: int, expanded: int, inner: int) -> None:
        super().__init__()
        self.units = units
        self.norm = nn.LayerNorm(shape[1], EPS)
        self.expand = nn.Linear(shape[1], expanded)
        self.project = nn.Linear(inner, shape[1])
        self.dropped = 0.0

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.between(self.expand(self.norm(x))))
        if self.training and self.dropped:
            kept = (torch.rand(len(x), 1, 1) >= self.dropped).to(y)
            y = y * kept / (1 - self.dropped)
        return x + y

    def between(self, expanded: Tensor) -> Tensor:
        raise NotImplementedError


class Attention(Branch):
    """Multi-head self-attention. `expand` gives a head's query, key and value, then those of the next head."""

    def __init__(self, shape: Shape, *, heads: int, head_width: int) -> None:
        super().__init__(shape, heads, 3 * heads * head_width, heads * head_width)

    def between(self, expanded: Tensor) -> Tensor:
        query, key, value = expanded.reshape(*expanded.shape[:2], self.units, 3, -1).permute(3, 0, 2, 1, 4).unbind()
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class Mlp(Branch):
    """A linear layer to `hidden`, GELU, and one back."""

    def __init__(self, shape: Shape, *, hidden: int) -> None:
        super().__init__(shape, hidden, hidden, hidden)

    def between(self, expanded: Tensor) -> Tensor:
        return F.gelu(expanded)


class SpatialReduction(Operation):
    """A quarter of the patches, of more channels: a 3×3 convolution of stride 2, the class token by a linear layer.

    Both of normalized tokens. Added to them are the tokens as they came, patches as means over 2×2, with zeros for the
    channels that are new, and a position embedding of the patches.
    """

    def __init__(self, shape: Shape, *, out_channels: int) -> None:
        super().__init__()
        tokens, channels = shape
        self.side = math.isqrt(tokens - 1)
        self.new = out_channels - channels
        self.norm = nn.LayerNorm(channels, EPS)
        self.patches = nn.Conv2d(channels, out_channels, 3, 2, 1)
        self.token = nn.Linear(channels, out_channels)
        self.position = embedding((tokens - 1) // 4, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        patches = self.patches(self._picture(y)).flatten(2).transpose(1, 2) + self.position
        pooled = F.avg_pool2d(self._picture(x), 2).flatten(2).transpose(1, 2)
        residual = F.pad(torch.cat((x[:, :1], pooled), dim=1), (0, self.new))
        return torch.cat((self.token(y[:, 0])[:, None], patches), dim=1) + residual

    def _picture(self, x: Tensor) -> Tensor:
        return x[:, 1:].transpose(1, 2).reshape(len(x), -1, self.side, self.side)


class Head(Operation):
    """Class logits of the normalized class token."""

    def __init__(self, shape: Shape, *, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape[1], EPS)
        self.logits = nn.Linear(shape[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logits(self.norm(x[:, 0]))
        return logits


DEFINITION = Definition(
    "vit-resnas",
    {
        "patch_embed": PatchEmbed,
        "attention": Attention,
        "mlp": Mlp,
        "spatial_reduction": SpatialReduction,
        "head": Head,
    },
    __file__,
)
