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


@dataclass(frozen=True)
class Arm:
    """What is slimmed: the data, and a share of the channels. `sparsity` is the weight of Σ|γ| while channels go."""

    name: str
    data: bool
    channels: float = 0.0
    sparsity: float = 1e-4

    def __post_init__(self) -> None:
        if not 0 <= self.channels < 1:
            raise ValueError(f"channels: {self.channels} is no share from 0 to below 1")


class Trained(NamedTuple):
    """A network, and which images of `presented` in all were trained on at what cost."""

    space: Space
    network: StagedNetwork
    taken: Taken
    presented: int


class AtRatio(nn.Module):
    """A network of ratio 1 on images at any other: N×3×H×W to logits N×classes×H×W."""

    def __init__(self, space: Space, network: StagedNetwork) -> None:
        super().__init__()
        self.space = space
        self.network = network

    def forward(self, images: Tensor, ratio: int = 0) -> Tensor:
        size = self.space.size(self.space.ratios[ratio])
        if tuple(images.shape[2:]) != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        values = {INPUT: images}
        self.network.execute(self.network.plan.steps, values)
        return values[self.network.plan.exits[0].logits]


class Deciding(nn.Module):
    """Images, one at a time, to logits at the ratio that their complexity gives them; counts the ratios taken."""

    def __init__(self, trained: Trained, decisions: Decisions | None) -> None:
        super().__init__()
        self.network = AtRatio(trained.space, trained.network)
        self.complexity = Complexity(())
        self.decisions = decisions
        self.taken: Counter[int] = Counter()

    def forward(self, image: Tensor) -> Tensor:
        ratio = self.decisions.ratio(self.complexity(image).item()) if self.decisions else 0
        self.taken[ratio] += 1
        logits: Tensor = self.network(image, ratio)
        return logits


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
    on_image: Callable[[float], None] | None = None,
) -> Trained:
    """Train a network of `space` from weights drawn by `seed`; `complexity` is that of each picture.

    An update takes one image: those of a batch would differ in size. `on_image` hears the loss of each.
    """
    with seeded(seed):
        network = plugin.staged(space)
    network_at = AtRatio(space, network.to(device).train())
    optimizer = torch.optim.SGD(network.parameters(), lr, momentum=MOMENTUM)
    decisions = Decisions.by(complexity, len(space.ratios))
    steps, taken = epochs * len(pictures), Taken()
    whole = sum(space.widths)
    cuts = {int(share * steps): round(arm.channels * whole * part / 3) for part, share in enumerate(CUTS, start=1)}
    for step, (index, epoch, dropped) in enumerate(_order(arm, decisions, complexity, epochs, seed)):
        if arm.channels and step in cuts:
            removed = whole - sum(space.widths)
            space, network, optimizer = _cut(space, network, optimizer, max(0, cuts[step] - removed))
            network_at = AtRatio(space, network)
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps) ** 0.9
        if dropped:
            continue
        ratio = decisions.ratio(complexity[index]) if arm.data else 0
        weight = decisions.weight(complexity[index]) if arm.data else 1.0
        image, target = (part[None].to(device) for part in pictures[index, epoch])
        loss = image_loss(network_at(image, ratio), target, weight)
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


def slimmed(space: Space, network: StagedNetwork, kept: Mapping[str, Tensor]) -> tuple[Space, StagedNetwork]:
    """Smaller convolutions with the weights that stay."""
    smaller = replace(space, widths=tuple(len(kept[layer]) for layer in LAYERS))
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
    space: Space, network: StagedNetwork, optimizer: torch.optim.SGD, remove: int
) -> tuple[Space, StagedNetwork, torch.optim.SGD]:
    """Without so many channels; the momentum is cut alike."""
    kept = kept_channels(scales(network), remove)
    smaller, slim = slimmed(space, network, kept)
    momenta = {name: optimizer.state[parameter]["momentum_buffer"] for name, parameter in network.named_parameters()}
    own = torch.optim.SGD(slim.to(momenta["logits.logits.bias"].device).parameters(), momentum=MOMENTUM)
    widths = dict(zip(LAYERS, space.widths, strict=True))
    for name, momentum in cut(momenta, kept, BEFORE, widths).items():
        own.state[slim.get_parameter(name)]["momentum_buffer"] = momentum
    return smaller, slim, own


def arms(channels: float) -> tuple[Arm, ...]:
    """What is compared at an equal number of images."""
    plain = Arm("plain", data=False)
    return plain, replace(plain, name="data slimming", data=True), Arm("both", data=True, channels=channels)
