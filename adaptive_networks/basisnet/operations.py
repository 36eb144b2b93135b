"""The operations of BasisNet (Zhang et al. 2021): blocks of MobileNetV3, and blocks whose kernels are mixed per image.

The space digest covers this file: it holds no f-string (lgcnet_search/space/operations.py says why).
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.blocks import (
    ACTIVATIONS,
    Classifier,
    Convolution,
    Foldable,
    Gate,
    InvertedResidual,
    Operation,
    Shape,
    Shrink,
    SqueezeExcitation,
)
from adaptive_networks.core.definition import Definition

DROPPED = 1 / 16
"""How often a basis is left out of a training step."""


class Features(Operation):
    """Mean over the picture, a linear layer, hard swish: what the preview's answer and the coefficients are made of."""

    def __init__(self, shape: Shape, *, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(shape[0], outputs)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.hidden(x.mean(dim=(2, 3)))
        return F.hardswish(hidden)


class Logits(Operation):
    """A linear layer."""

    def __init__(self, shape: Shape, *, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(shape[0], outputs)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x)
        return logits


class Coefficients(Operation):
    """How much of each basis a mixed block is made of: they add up to 1.

    In training, `even` of them is 1 / bases, and some bases are left out.
    """

    def __init__(self, shape: Shape, *, bases: int) -> None:
        super().__init__()
        self.linear = nn.Linear(shape[0], bases)
        self.even = 0.0

    def forward(self, features: Tensor) -> Tensor:
        mixed: Tensor = self.linear(features).softmax(dim=1)
        if not self.training:
            return mixed
        mixed = self.even / mixed.shape[1] + (1 - self.even) * mixed
        kept = torch.rand(mixed.shape[1], device=mixed.device) >= DROPPED
        kept = kept | ~kept.any()
        mixed = mixed * kept
        return mixed / mixed.sum(dim=1, keepdim=True)


class MixedConvolution(Foldable):
    """A convolution whose kernel is a weighted sum of N kernels, another one for each image, and BatchNorm."""

    def __init__(
        self, bases: int, channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(bases, out_channels, channels // groups, kernel, kernel))
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(out_channels)
        self.bias: nn.Parameter | None = None
        self.stride = stride
        self.groups = groups

    def draw(self) -> None:
        """As `initialize` does for convolutions."""
        gain = 1 if self.groups > 1 else 2
        nn.init.normal_(self.weight, std=math.sqrt(gain / self.weight[0, 0].numel()))

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        """N×C×H×W and N×bases. All images at once: a convolution of N times as many groups."""
        images, channels, height, width = x.shape
        _, outputs, inputs, kernel, _ = self.weight.shape
        weight = (mixture @ self.weight.flatten(1)).view(images * outputs, inputs, kernel, kernel)
        x = x.reshape(1, images * channels, height, width)
        y = F.conv2d(x, weight, None, self.stride, kernel // 2, groups=images * self.groups)
        y = y.view(images, outputs, y.shape[2], y.shape[3])
        if self.norm is not None:
            normalized: Tensor = self.norm(y)
            return normalized
        assert self.bias is not None
        return y + self.bias[:, None, None]

    def fold(self) -> None:
        """Mixing is linear: BatchNorm's scale goes into every basis, its shift is one bias for all."""
        norm = self.norm
        assert norm is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        bias = norm.bias - norm.running_mean * scale
        self.weight = nn.Parameter(self.weight * scale[:, None, None, None], requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.norm = None


class MixedResidual(Operation):
    """An inverted residual whose three convolutions are mixed by the second input; squeeze-and-excitation is shared."""

    def __init__(
        self,
        shape: Shape,
        mixture: Shape,
        *,
        kernel: int,
        hidden: int,
        out_channels: int,
        stride: int = 1,
        se: bool = False,
        act: str = "relu",
    ) -> None:
        super().__init__()
        bases = mixture[0]
        self.expand = MixedConvolution(bases, shape[0], hidden)
        self.depthwise = MixedConvolution(bases, hidden, hidden, kernel, stride, groups=hidden)
        self.project = MixedConvolution(bases, hidden, out_channels)
        self.excite = SqueezeExcitation(hidden) if se else None
        self.act = ACTIVATIONS[act]()
        self.residual = stride == 1 and shape[0] == out_channels

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        y: Tensor = self.act(self.depthwise(self.act(self.expand(x, mixture)), mixture))
        if self.excite is not None:
            y = self.excite(y)
        y = self.project(y, mixture)
        return x + y if self.residual else y


DEFINITION = Definition(
    "basisnet",
    {
        "shrink": Shrink,
        "conv": Convolution,
        "inverted_residual_k3": partial(InvertedResidual, kernel=3),
        "inverted_residual_k5": partial(InvertedResidual, kernel=5),
        "features": Features,
        "logits": Logits,
        "gate": Gate,
        "coefficients": Coefficients,
        "mixed_residual_k3": partial(MixedResidual, kernel=3),
        "mixed_residual_k5": partial(MixedResidual, kernel=5),
        "classifier": Classifier,
    },
    __file__,
)
