"""Weights of a network that holds many smaller ones: first channels, centres of kernels (Cai et al. 2020)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from adaptive_networks.core.staged import StagedNetwork


def part_of(whole: Tensor, shape: torch.Size) -> Tensor:
    """The first channels in and out, and the centre of the kernel."""
    for axis, (has, takes) in enumerate(zip(whole.shape, shape, strict=True)):
        whole = whole.narrow(axis, (has - takes) // 2 if axis > 1 else 0, takes)
    return whole


def state_of(whole: Mapping[str, Tensor], member: nn.Module) -> dict[str, Tensor]:
    """A member's part of the largest one's state. Gradients pass through it."""
    return {name: part_of(whole[name], value.shape) for name, value in member.state_dict().items()}


def run_member(largest: StagedNetwork, member: StagedNetwork, images: Tensor) -> tuple[Tensor, ...]:
    """A member without values of its own, with its part of the largest one's weights, in training.

    BatchNorm takes the batch's statistics; those that it keeps stay the largest one's.
    """
    whole = {**dict(largest.named_parameters()), **dict(largest.named_buffers())}
    buffers = {name for name, _ in member.named_buffers()}
    state = {name: value.clone() if name in buffers else value for name, value in state_of(whole, member).items()}
    logits: tuple[Tensor, ...] = functional_call(member.train(), state, (images,))
    return logits
