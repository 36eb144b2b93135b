"""Images that are made of two, rectangles (Yun et al. 2019) or sums (Zhang et al. 2018), and the loss of them."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def mixed(images: Tensor, grid: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images of which each has a part of another one, its shares in grid × grid patches, and which the other one is.

    In half of a batch a rectangle of patches is the other image's; the other half are sums (mixup, β(0.8)).
    """
    count, half = len(images), len(images) // 2
    others = torch.randperm(count).to(images.device)
    shares = torch.ones(count, grid, grid)
    (top, bottom), (left, right) = (sorted(torch.randperm(grid + 1)[:2].tolist()) for _ in range(2))
    shares[:half, top:bottom, left:right] = 0
    shares[half:] = torch.distributions.Beta(0.8, 0.8).sample()
    shares = shares.to(images)
    own = F.interpolate(shares[:, None], images.shape[2:])
    return own * images + (1 - own) * images[others], shares.flatten(1), others


@dataclass(frozen=True)
class MixedLoss:
    """Cross-entropy of the class token, and of the patches in the mean, with targets mixed as the images were."""

    smoothing: float = 0.1

    def __call__(self, outputs: tuple[Tensor, Tensor, Tensor], targets: Tensor, /) -> tuple[Tensor, Tensor]:
        logits, shares, others = outputs
        own, other = (F.one_hot(each, logits.shape[2])[:, None] for each in (targets, targets[others.long()]))
        shares = torch.cat((shares.mean(dim=1, keepdim=True), shares), dim=1)[:, :, None]
        wanted = (1 - self.smoothing) * (shares * own + (1 - shares) * other) + self.smoothing / logits.shape[2]
        losses = -(wanted * logits.log_softmax(dim=2)).sum(dim=2)
        return (losses[:, 0] + losses[:, 1:].mean(dim=1)).sum(), targets.new_tensor(len(targets))
