"""The Gumbel relaxation of one-hot choices (Eq. 4) and its temperature."""

import math

import torch
from torch import Tensor

NEGLIGIBLE = 1e-10


def gumbel(uniform: Tensor) -> Tensor:
    """G = -log(-log U) of U in [0, 1): added to log α, the largest is what Softmax(log α) draws."""
    return -torch.log(-torch.log(uniform.clamp(min=torch.finfo(uniform.dtype).tiny)))


def relax(log_alpha: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Eq. 4: Z = Softmax((log α + G) / λ), G = -log(-log U), over the last dimension.

    `uniform` holds U in [0, 1), of the shape of `log_alpha`. What is below 1e-10 becomes 0: no float32 sum sees it,
    and at low temperatures it would fill activations and gradients with denormals, on which CPUs take twice as long.
    """
    z = torch.softmax((log_alpha + gumbel(uniform)) / temperature, dim=-1)
    return torch.where(z < NEGLIGIBLE, 0, z)


def one_hot(z: Tensor) -> Tensor:
    """1 where each row of z is largest, 0 elsewhere."""
    return torch.zeros_like(z).scatter_(-1, z.argmax(dim=-1, keepdim=True), 1)


def temperature_at(step: int, steps: int, first: float = 1.0, last: float = 0.03) -> float:
    """λ of a step: `first` at step 0, `last` at step `steps` - 1, exponential between."""
    return first * math.exp(math.log(last / first) * step / max(steps - 1, 1))
