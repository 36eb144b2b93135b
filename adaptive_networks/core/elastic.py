"""Weights of a network that holds many smaller ones: first channels, centres of kernels (Cai et al. 2020)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


def part_of(whole: Tensor, shape: torch.Size) -> Tensor:
    """The first channels in and out, and the centre of the kernel."""
    for axis, (has, takes) in enumerate(zip(whole.shape, shape, strict=True)):
        whole = whole.narrow(axis, (has - takes) // 2 if axis > 1 else 0, takes)
    return whole


def state_of(whole: Mapping[str, Tensor], member: nn.Module) -> dict[str, Tensor]:
    """A member's part of the largest one's state. Gradients pass through it."""
    return {name: part_of(whole[name], value.shape) for name, value in member.state_dict().items()}


@torch.no_grad()
def take_part(member: nn.Module, largest: nn.Module) -> None:
    """Copy a member's part of the largest one's state into it."""
    member.load_state_dict(state_of(largest.state_dict(), member))


def run_member(largest: nn.Module, member: nn.Module, *inputs: Tensor) -> Any:
    """A member without values of its own, with its part of the largest one's weights, in training.

    BatchNorm takes the batch's statistics; those that it keeps stay the largest one's.
    """
    whole = {**dict(largest.named_parameters()), **dict(largest.named_buffers())}
    buffers = {name for name, _ in member.named_buffers()}
    state = {name: value.clone() if name in buffers else value for name, value in state_of(whole, member).items()}
    return functional_call(member.train(), state, inputs)


@torch.no_grad()
def reorder(expand: nn.Linear, project: nn.Linear, units: int) -> None:
    """Put the units between two layers in order of their L1 norm, in and out: smaller members take the first ones."""
    into = torch.cat((expand.weight, expand.bias[:, None]), dim=1)
    into = into.reshape(units, -1, into.shape[1])
    out = project.weight.reshape(len(project.weight), units, -1)
    order = (into.abs().sum(dim=(1, 2)) + out.abs().sum(dim=(0, 2))).argsort(descending=True, stable=True)
    ordered = into[order].flatten(0, 1)
    expand.weight.copy_(ordered[:, :-1])
    expand.bias.copy_(ordered[:, -1])
    project.weight.copy_(out[:, order].flatten(1))
