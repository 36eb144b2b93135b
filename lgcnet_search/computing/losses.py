"""Losses as a sum and the number of targets in it, so that the parts of a batch can be added up."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from lgcnet_search.computing.batches import IGNORE


class Loss(Protocol):
    """What a network gives in training, and targets without the classes, to a sum and a number of targets.

    That are logits N×classes or N×classes×H×W, or several tensors of a network with several exits.
    """

    def __call__(self, outputs: Any, targets: Tensor, /) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class CrossEntropy:
    """Over every target but `ignored`; `smoothing` is spread over all classes (Szegedy et al. 2016)."""

    ignored: int = IGNORE
    smoothing: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses = F.cross_entropy(
            logits, targets, ignore_index=self.ignored, label_smoothing=self.smoothing, reduction="sum"
        )
        return losses, (targets != self.ignored).sum()


@dataclass(frozen=True)
class HardExamples:
    """Online bootstrapping (Wu et al. 2016): only pixels whose class is given less than `probability` are counted.

    At least the hardest `share` of the batch's pixels are, so that there is always something to learn.
    """

    probability: float = 0.7
    share: float = 1 / 16
    ignored: int = IGNORE

    def __post_init__(self) -> None:
        for name in ("probability", "share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not above 0 and at most 1")

    def __call__(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses = F.cross_entropy(logits, targets, ignore_index=self.ignored, reduction="none")
        losses = losses[targets != self.ignored]
        least = min(losses.numel(), int(self.share * targets.numel()))
        hard = losses[losses.detach() > -math.log(self.probability)]
        if hard.numel() < least:
            hard = losses.topk(least).values
        return hard.sum(), torch.tensor(hard.numel(), device=logits.device)


LOSSES: dict[str, Loss] = {"hard-examples": HardExamples(), "cross-entropy": CrossEntropy()}
"""Those of segmentation, by the name that an option gives."""
