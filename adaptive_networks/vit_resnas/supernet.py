"""The super-network of the space, trained by multi-architectural sampling; one member alone by the same code."""

import math
import random

import torch
from torch import Tensor, nn

from adaptive_networks.core.elastic import reorder, run_member, take_part
from adaptive_networks.core.mixing import mixed
from adaptive_networks.core.plugin import Choice
from adaptive_networks.core.staged import StagedNetwork
from adaptive_networks.vit_resnas.operations import DEFINITION, Branch, Head
from adaptive_networks.vit_resnas.plugin import space as plugin
from adaptive_networks.vit_resnas.space import EMBED, HEAD, Space
from lgcnet_search.space.network import seeded

WARM_UP = 1 / 4
"""Share of the steps in which more and more values are on offer, the largest first: 30 of 120 epochs."""
PARTS = 6
"""Of the warm-up: in each, one more of the 7 sizes of hidden layers."""


class Body(nn.Module):
    """What training has of a network behind its first step: tokens to logits N×(1 + patches)×classes.

    Those of the class token, and of each patch by a linear layer that only training has. Stochastic depth rises with
    depth from 0 to `dropped`.
    """

    def __init__(self, network: StagedNetwork, classes: int, dropped: float) -> None:
        super().__init__()
        self.network = network
        *_, (tokens, channels) = network.plan.steps[-1].operation.input_shapes
        self.grid = math.isqrt(tokens - 1)
        self.patches = nn.Linear(channels, classes)
        self.branches = [module for module in network.modules() if isinstance(module, Branch)]
        for number, branch in enumerate(self.branches):
            branch.dropped = dropped * number / max(1, len(self.branches) - 1)

    def forward(self, tokens: Tensor) -> Tensor:
        *steps, last = self.network.plan.steps[1:]
        values = {EMBED: tokens}
        self.network.execute([*steps, last], values)
        head = self.network.get_submodule(HEAD)
        assert isinstance(head, Head)
        patches: Tensor = self.patches(head.norm(values[last.inputs[0]][:, 1:]))
        return torch.cat((values[HEAD][:, None], patches), dim=1)


class Transformer(nn.Module):
    """In training: the member of `choice`, or with `group` the largest one, of which a batch takes many members' parts.

    Images N×3×side×side to logits as of `Body`, and how images were mixed. What chance decides follows from `seed` and
    the step.
    """

    done: Tensor

    def __init__(
        self, space: Space, steps: int, seed: int = 0, dropped: float = 0.0, choice: Choice = (), group: int = 0
    ) -> None:
        super().__init__()
        self.space = space
        self.body = Body(plugin.staged(space, choice), space.classes, dropped)
        self._steps = steps
        self._seed = seed
        self._dropped = dropped
        self._group = group
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        step = int(self.done)
        self.done += 1
        generator = random.Random(f"{self._seed} {step}")
        with seeded(generator.getrandbits(32)):
            images, shares, others = mixed(images, self.body.grid)
            tokens: Tensor = self.body.network.get_submodule(EMBED)(images)
            if not self._group:
                return self.body(tokens), shares, others
            part, before = self._part(step), self._part(step - 1)
            if part > before:
                for branch in self.body.branches:
                    reorder(branch.expand, branch.project, branch.units)
            groups = torch.split(tokens, self._group)
            members = self.space.dealt(len(groups), part / PARTS, generator)
            logits = [self.run(member, own) for member, own in zip(members, groups, strict=True)]
            return torch.cat(logits), shares, others

    def run(self, choice: Choice, tokens: Tensor) -> Tensor:
        """A member on the largest one's tokens, of which it takes its channels."""
        plan = self.space.plan(choice)
        with torch.device("meta"):
            member = Body(StagedNetwork(plan, DEFINITION.on_meta), self.space.classes, self._dropped)
        width = DEFINITION.output(plan.steps[0].operation)[1]
        logits: Tensor = run_member(self.body, member, tokens[..., :width])
        return logits

    def member(self, choice: Choice) -> StagedNetwork:
        """With a copy of its part of the weights. All members have the same BatchNorms, in the first step."""
        member = plugin.staged(self.space, choice)
        take_part(member, self.body.network)
        return member

    def _part(self, step: int) -> int:
        return min(PARTS, int(PARTS * step / (WARM_UP * self._steps)))
