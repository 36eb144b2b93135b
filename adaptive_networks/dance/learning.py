"""DANCE's training: an image at a time, at the resolution that its complexity gives it; channels go on the way."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.slimming import cut, kept_channels
from adaptive_networks.core.staged import StagedNetwork
from adaptive_networks.core.train_step import MOMENTUM, weighted_cross_entropy
from adaptive_networks.dance.deciding import Decisions
from adaptive_networks.dance.operations import Complexity
from adaptive_networks.dance.plugin import space as plugin
from adaptive_networks.dance.space import BEFORE, LAYERS, Space
from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.space.graph import INPUT
from lgcnet_search.space.network import seeded

CUTS = (0.25, 0.5, 0.75)
"""After these shares of the training channels are removed, each time a third of them."""

Taken = Counter[tuple[Space, int]]
"""How many images were trained on by each network, at each ratio."""


class Pictures(Protocol):
    """By index and epoch an image 3×H×W and its classes H×W."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: tuple[int, int], /) -> tuple[Tensor, Tensor]: ...


Choose = Callable[[Callable[[float], Space], bool], float]
"""What share of the channels goes, by the network that would be left of any; the last time this is asked, it does."""


@dataclass(frozen=True)
class Arm:
    """What is slimmed: the data, and a share of the channels, which may be chosen anew whenever channels are removed.

    `sparsity` is the weight of Σ|γ| while channels go. Raises ValueError naming field and value.
    """

    name: str
    data: bool
    channels: float | Choose = 0.0
    sparsity: float = 1e-4

    def __post_init__(self) -> None:
        if not callable(self.channels) and not 0 <= self.channels < 1:
            raise ValueError(f"channels: {self.channels} is no share from 0 to below 1")


class Trained(NamedTuple):
    """A network, and which images of `presented` in all were trained on at what cost."""

    space: Space
    network: StagedNetwork
    taken: Taken
    presented: int


def at_ratio(space: Space, network: StagedNetwork, images: Tensor, ratio: int = 0) -> Tensor:
    """A network of ratio 1 on images at any other: N×3×H×W to logits N×classes×H×W."""
    size = space.size(space.ratios[ratio])
    if tuple(images.shape[2:]) != size:
        images = F.interpolate(images, size, mode="bilinear", align_corners=False)
    values = {INPUT: images}
    network.execute(network.plan.steps, values, network.spent)
    return values[network.plan.exits[0].logits]


class Deciding(nn.Module):
    """Images, one at a time, to logits at the ratio that their complexity gives them; counts the ratios taken."""

    def __init__(self, trained: Trained, decisions: Decisions | None) -> None:
        super().__init__()
        self.space = trained.space
        self.network = trained.network
        self.complexity = Complexity(())
        self.decisions = decisions
        self.taken: Counter[int] = Counter()

    def forward(self, image: Tensor) -> Tensor:
        ratio = self.decisions.ratio(self.complexity(image).item()) if self.decisions else 0
        self.taken[ratio] += 1
        return at_ratio(self.space, self.network, image, ratio)


@torch.inference_mode()
def complexities(pictures: Pictures) -> list[float]:
    """Of every picture."""
    module = Complexity(())
    return [module(pictures[index, 0][0][None]).item() for index in range(len(pictures))]


def train(
    space: Space,
    pictures: Pictures,
    arm: Arm,
    complexity: Sequence[float],
    epochs: int,
    lr: float,
    seed: int,
    device: torch.device,
    on_image: Callable[[float | None], None] | None = None,
) -> Trained:
    """Train a network of `space` from weights drawn by `seed`; `complexity` is that of each picture.

    An update takes one image: those of a batch would differ in size. `on_image` hears the loss of each, None of those
    that are left out.
    """
    with seeded(seed):
        network = plugin.staged(space)
    network.to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr, momentum=MOMENTUM)
    decisions = Decisions.by(complexity, len(space.ratios))
    steps, taken = epochs * len(pictures), Taken()
    whole = sum(space.widths)
    cuts = {int(share * steps): part / len(CUTS) for part, share in enumerate(CUTS, start=1)}
    for step, (index, epoch, dropped) in enumerate(_order(arm, decisions, complexity, epochs, seed)):
        if arm.channels and step in cuts:
            slimming = Slimming(space, network, whole)
            last = step == max(cuts)
            share = arm.channels(slimming.space_at, last) if callable(arm.channels) else arm.channels
            space, network, optimizer = _cut(space, network, optimizer, slimming.kept(share * cuts[step]))
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps) ** 0.9
        if dropped:
            if on_image:
                on_image(None)
            continue
        ratio = decisions.ratio(complexity[index]) if arm.data else 0
        weight = decisions.weight(complexity[index]) if arm.data else 1.0
        image, target = (part[None].to(device) for part in pictures[index, epoch])
        loss = image_loss(at_ratio(space, network, image, ratio), target, weight)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if arm.channels:
            for scale in scales(network).values():
                assert scale.grad is not None
                scale.grad.add_(scale.detach().sign(), alpha=arm.sparsity)
        optimizer.step()
        taken[space, ratio] += 1
        if on_image:
            on_image(float(loss.detach()))
    return Trained(space, network.eval(), taken, steps)


def image_loss(logits: Tensor, target: Tensor, weight: float = 1.0) -> Tensor:
    """The mean cross-entropy of one image's pixels with a class, times its weight."""
    valid = target != IGNORE
    return weighted_cross_entropy(logits, target, valid * (weight / valid.sum().clamp(min=1)))


def scales(network: nn.Module) -> dict[str, nn.Parameter]:
    """γ of every layer whose channels may be removed."""
    return {layer: network.get_parameter(f"{layer}.layers.1.weight") for layer in LAYERS}


class Slimming(NamedTuple):
    """Which channels of a network in training stay, of `whole` that it had at first."""

    space: Space
    network: StagedNetwork
    whole: int

    def kept(self, share: float) -> dict[str, Tensor]:
        """Those of each layer that stay where this share of all is gone."""
        removed = self.whole - sum(self.space.widths)
        return kept_channels(scales(self.network), max(0, round(share * self.whole) - removed))

    def space_at(self, share: float) -> Space:
        """The network's where this share is gone."""
        return with_widths(self.space, self.kept(share))


def with_widths(space: Space, kept: Mapping[str, Tensor]) -> Space:
    """That of the channels that stay."""
    return replace(space, widths=tuple(len(kept[layer]) for layer in LAYERS))


def slimmed(space: Space, network: StagedNetwork, kept: Mapping[str, Tensor]) -> tuple[Space, StagedNetwork]:
    """Smaller convolutions with the weights that stay."""
    smaller = with_widths(space, kept)
    slim = plugin.staged(smaller)
    slim.load_state_dict(cut(network.state_dict(), kept, BEFORE, dict(zip(LAYERS, space.widths, strict=True))))
    return smaller, slim.train(network.training)


def _order(
    arm: Arm, decisions: Decisions, complexity: Sequence[float], epochs: int, seed: int
) -> Iterator[tuple[int, int, bool]]:
    """Index and epoch of each image presented, and whether it is left out."""
    for epoch in range(epochs):
        rng = np.random.default_rng((seed, epoch))
        lots = rng.random(len(complexity))
        for index in rng.permutation(len(complexity)).tolist():
            yield index, epoch, arm.data and lots[index] < decisions.dropped(complexity[index])


def _cut(
    space: Space, network: StagedNetwork, optimizer: torch.optim.SGD, kept: Mapping[str, Tensor]
) -> tuple[Space, StagedNetwork, torch.optim.SGD]:
    """Of these channels; the momentum is cut alike."""
    smaller, slim = slimmed(space, network, kept)
    momenta = {  # none before the first update
        name: optimizer.state[parameter]["momentum_buffer"]
        for name, parameter in network.named_parameters()
        if parameter in optimizer.state
    }
    own = torch.optim.SGD(slim.to(next(network.parameters()).device).parameters(), momentum=MOMENTUM)
    widths = dict(zip(LAYERS, space.widths, strict=True))
    for name, momentum in cut(momenta, kept, BEFORE, widths).items():
        own.state[slim.get_parameter(name)]["momentum_buffer"] = momentum
    return smaller, slim, own


PLAIN = Arm("plain", data=False)
DATA = Arm("data slimming", data=True)
