"""The once-for-all network of the space: one set of weights, of which every member takes a part."""

import random

import torch
from torch import Tensor, nn

from adaptive_networks.core.elastic import run_member, take_part
from adaptive_networks.core.plugin import Choice
from adaptive_networks.core.staged import StagedNetwork
from adaptive_networks.enas4d.operations import DEFINITION
from adaptive_networks.enas4d.plugin import space as plugin
from adaptive_networks.enas4d.space import Space


class Supernet(nn.Module):
    """In training: the largest member, and from a third of `steps` on the smallest and two random ones ("sandwich").

    Images N×3×side×side to the logits of every exit, of one member after the other, the largest first.
    """

    done: Tensor

    def __init__(self, space: Space, steps: int, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        self.largest = plugin.staged(space)
        self._steps = steps
        self._seed = seed
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        outputs = [self.largest(images)]
        step = int(self.done)
        self.done += 1
        if step >= self._steps / 3:
            draw = random.Random(f"{self._seed} {step}")
            members = [self.space.smallest, *(self.space.random(draw) for _ in range(2))]
            outputs += [self.run(choice, images) for choice in members]
        return tuple(outputs)

    def run(self, choice: Choice, images: Tensor) -> tuple[Tensor, ...]:
        """The exits of a member in training."""
        member = StagedNetwork(self.space.plan(choice), DEFINITION.on_meta)
        logits: tuple[Tensor, ...] = run_member(self.largest, member, images)
        return logits

    def member(self, choice: Choice) -> StagedNetwork:
        """A member with a copy of its part of the weights; its BatchNorm statistics are still the largest one's."""
        member = plugin.staged(self.space, choice)
        take_part(member, self.largest)
        return member
