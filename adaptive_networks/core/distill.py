"""What a network learns from another one, or from itself: class posteriors and attention maps."""

import torch.nn.functional as F
from torch import Tensor


def divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), a sum over images (Hinton et al. 2015).

    Logits N×classes; no gradient reaches the teacher.
    """
    log_student = (student / temperature).log_softmax(dim=1)
    log_teacher = (teacher.detach() / temperature).log_softmax(dim=1)
    return temperature**2 * F.kl_div(log_student, log_teacher, reduction="sum", log_target=True)


def attention(features: Tensor) -> Tensor:
    """The sum over channels of N×C×H×W, standardized per image to mean 0 and deviation 1: N×(H·W)."""
    summed = features.sum(dim=1).flatten(1)
    centred = summed - summed.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()


def attention_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared distance of two attention maps, summed over images; no gradient reaches the teacher."""
    return (attention(student) - attention(teacher.detach())).square().mean(dim=1).sum()
