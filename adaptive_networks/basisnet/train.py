"""adaptive-networks basisnet: train preview and specialist together, and choose how sure the preview must be."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.basisnet.operations import Coefficients
from adaptive_networks.basisnet.plugin import space as plugin
from adaptive_networks.basisnet.space import SETTINGS, STATIC
from adaptive_networks.commands.training import CompareOptions, ScheduleOptions, Training, commands
from adaptive_networks.core.images import judge_both
from adaptive_networks.core.record import Record, moved, points_of, rated_paths
from adaptive_networks.core.staged import StagedNetwork
from lgcnet_search.space.network import seeded


class Annealed(nn.Module):
    """BasisNet in training: coefficients are even at the first step, and the preview's own from half of `steps` on."""

    done: Tensor

    def __init__(self, network: StagedNetwork, steps: int) -> None:
        super().__init__()
        self.network = network
        self.steps = steps
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        even = max(0.0, 1 - 2 * int(self.done) / self.steps)
        for module in self.network.modules():
            if isinstance(module, Coefficients):
                module.even = even
        self.done += 1
        logits: tuple[Tensor, ...] = self.network(images)
        return logits


@dataclass(frozen=True)
class PreviewLoss:
    """CE of the last exit, and of the preview with a weight (decided here)."""

    preview: float = 0.5

    def __call__(self, outputs: tuple[Tensor, ...], targets: Tensor, /) -> tuple[Tensor, Tensor]:
        *previews, last = outputs
        loss = F.cross_entropy(last, targets, reduction="sum")
        for logits in previews:
            loss = loss + self.preview * F.cross_entropy(logits, targets, reduction="sum")
        return loss, targets.new_tensor(len(targets))


def trained(training: Training[CompareOptions]) -> Record:
    """Train preview and specialist together; the specialist alone, with kernels of its own, where that is compared."""
    space = training.chosen(SETTINGS)
    images, schedule = training.read(space.side, space.classes), training.schedule()
    paths = rated_paths(plugin, space, ("preview", "specialist"))
    if training.own.compare:
        paths += rated_paths(plugin, space, ("static specialist",), STATIC)
    with training.how.begun() as computing:
        with seeded(training.how.seed):
            network = plugin.staged(space)
        training.fit(plugin, Annealed(network, schedule.steps), images, schedule, PreviewLoss(), computing)
        points = moved(points_of(*judge_both(network, images, computing)), 0, len(paths))
        if training.own.compare:
            with seeded(training.how.seed):
                static = plugin.staged(space, STATIC)
            training.fit(plugin, static, images, schedule, PreviewLoss(), computing, "static specialist")
            (*_, point) = points_of(*judge_both(static, images, computing), alone="static specialist")
            points += moved([point], 2, 3)
    return training.save(plugin, network, images, paths, points)


cli = commands(trained, ScheduleOptions(batch=64, lr=0.05), CompareOptions(), Path("runs/basisnet"), __doc__)
