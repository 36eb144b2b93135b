"""adaptive-networks ddnn: train all depths together, each learning from the full net; take the deepest that fits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.commands.training import CompareOptions, ScheduleOptions, Training, commands
from adaptive_networks.core.distill import attention_distance, divergence
from adaptive_networks.core.images import judge_both
from adaptive_networks.core.plugin import Choice
from adaptive_networks.core.record import Point, Record, rated_paths
from adaptive_networks.core.staged import StagedNetwork
from adaptive_networks.ddnn.plugin import space as plugin
from adaptive_networks.ddnn.space import SETTINGS, Space
from lgcnet_search.space.graph import INPUT
from lgcnet_search.space.network import seeded

MILESTONES = {False: (0.5, 150 / 180), True: (0.4, 0.75, 0.9)}
"""Of small and of large inputs: 150 and 250 of 300 epochs, 40, 75 and 90 of 100 (the authors' sibling project)."""
KL = {10: 1.5, 100: 0.6, 1000: 0.1}
"""λ_K by classes, for a divergence that is summed over classes (their weights are of a mean)."""

Outputs = tuple[tuple[Tensor, ...], ...]
"""Of every net, the full one first: logits, and the map of every stage."""


class Depths(nn.Module):
    """The full net and its sub-nets, which share all weights."""

    def __init__(self, space: Space, nets: Sequence[Choice]) -> None:
        super().__init__()
        self.whole = plugin.staged(space)
        self._nets = [(space.plan(net), space.maps(net)) for net in nets]

    def forward(self, images: Tensor) -> Outputs:
        """One after the other: a stage cut short changes all that follows."""
        outputs = []
        for plan, maps in self._nets:
            values = {INPUT: images}
            self.whole.execute(plan.steps, values)
            outputs.append((values[plan.exits[0].logits], *(values[name] for name in maps)))
        return tuple(outputs)


@dataclass(frozen=True)
class EmbeddedDistillation:
    """CE of the full net, and in the mean over sub-nets CE + λ_K · T² KL + λ_A · distance of attention maps.

    No gradient of a sub-net's distillation reaches the full net through its outputs (decided here).
    """

    kl: float = 1.5
    attention: float = 1.0
    temperature: float = 3.0

    def __call__(self, outputs: Outputs, targets: Tensor, /) -> tuple[Tensor, Tensor]:
        (full, *full_maps), *subnets = outputs
        loss = F.cross_entropy(full, targets, reduction="sum")
        for logits, *maps in subnets:
            part = F.cross_entropy(logits, targets, reduction="sum")
            part = part + self.kl * divergence(logits, full, self.temperature)
            distances = [attention_distance(own, teacher) for own, teacher in zip(maps, full_maps, strict=True)]
            loss = loss + (part + self.attention * sum(distances[1:], distances[0])) / len(subnets)
        return loss, targets.new_tensor(len(targets))


def trained(training: Training[CompareOptions]) -> Record:
    """Train the full net and its sub-nets together; each depth alone where that is compared."""
    setting = training.chosen(SETTINGS)
    space, nets = setting.space, setting.nets
    images = training.read(space.side, space.classes)
    schedule = training.schedule(MILESTONES[space.large])
    loss = EmbeddedDistillation(KL.get(space.classes, 1.5), 0.5 if space.large else 1.0)
    with training.how.begun() as computing:

        def fitted(trained_nets: Sequence[Choice], title: str) -> nn.Module:
            with seeded(training.how.seed):
                depths = Depths(space, trained_nets)
            training.fit(plugin, depths, images, schedule, loss, computing, title)
            return depths.whole

        def point(series: str, net: Choice, whole: nn.Module) -> Point:
            """A depth with its own BatchNorm statistics, which the depths' shared ones are not."""
            subnet = subnet_of(space, net, whole)
            training.recalibrate(subnet, images.train, computing)
            (accuracy,), (tested,) = (judged.accuracy for judged in judge_both(subnet, images, computing))
            rates = tuple(float(other == net) for other in nets)
            return Point(
                series=series, label=_label(net), rates=rates, accuracy=accuracy, test_rates=rates, test_accuracy=tested
            )

        together = fitted(nets, "all depths")
        points = [point("distilled", net, together) for net in nets]
        compared = nets if training.own.compare else ()
        points += [point("alone", net, fitted([net], f"{_label(net)} alone")) for net in compared]
    paths = [path for net in nets for path in rated_paths(plugin, space, [_label(net)], net)]
    return training.save(plugin, together, images, paths, points)


def subnet_of(space: Space, net: Choice, whole: nn.Module) -> StagedNetwork:
    """A sub-net with its part of the state."""
    subnet, state = plugin.staged(space, net), whole.state_dict()
    subnet.load_state_dict({name: state[name] for name in subnet.state_dict()})
    return subnet


def _label(net: Choice) -> str:
    return f"depth {'-'.join(map(str, net))}"


cli = commands(trained, ScheduleOptions(batch=128), CompareOptions(), Path("runs/ddnn"), __doc__)
