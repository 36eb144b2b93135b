"""adaptive-networks ddnn: train all depths together, each learning from the full net; take the deepest that fits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
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

ATTENTION = 0.05
"""λ_A (decided here): maps of deviation 1 differ by up to 2 a stage, so a weight of 1 hides what the classes say."""

Outputs = tuple[tuple[Tensor, ...], ...]
"""Of every net, the full one first: logits, and the map of every stage."""


class Depths(nn.Module):
    """The full net and its sub-nets, which share all weights."""

    done: Tensor

    def __init__(self, space: Space, nets: Sequence[Choice], steps: int) -> None:
        super().__init__()
        self.whole = plugin.staged(space)
        self._nets = [(space.plan(net), space.maps(net)) for net in nets]
        self._steps = steps
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    @property
    def strength(self) -> float:
        """How much of the distillation counts: from 0 to 1 in half of the steps, as what teaches has to learn first."""
        return min(1.0, 2 * int(self.done) / self._steps)

    def forward(self, images: Tensor) -> Outputs:
        """One after the other: a stage cut short changes all that follows."""
        self.done += self.training
        outputs = []
        for plan, maps in self._nets:
            values = {INPUT: images}
            self.whole.execute(plan.steps, values)
            outputs.append((values[plan.exits[0].logits], *(values[name] for name in maps)))
        return tuple(outputs)


@dataclass(frozen=True)
class EmbeddedDistillation:
    """CE of the full net, and in the mean over sub-nets CE + λ_K · T² KL + λ_A · distance of attention maps.

    No gradient of a sub-net's distillation reaches the full net through its outputs (decided here). `strength` says how
    much of the distillation counts at this step.
    """

    kl: float = 1.5
    attention: float = ATTENTION
    temperature: float = 3.0
    strength: Callable[[], float] = lambda: 1.0

    def __call__(self, outputs: Outputs, targets: Tensor, /) -> tuple[Tensor, Tensor]:
        (full, *full_maps), *subnets = outputs
        loss, strength = F.cross_entropy(full, targets, reduction="sum"), self.strength()
        for logits, *maps in subnets:
            part = F.cross_entropy(logits, targets, reduction="sum")
            if strength:
                taught = self.kl * divergence(logits, full, self.temperature)
                for own, teacher in zip(maps, full_maps, strict=True):
                    taught = taught + self.attention * attention_distance(own, teacher)
                part = part + strength * taught
            loss = loss + part / len(subnets)
        return loss, targets.new_tensor(len(targets))


def trained(training: Training[CompareOptions]) -> Record:
    """Train the full net and its sub-nets together; where that is compared, undistilled, and each depth alone."""
    setting = training.chosen(SETTINGS)
    space, nets = setting.space, setting.nets
    images = training.read(space.side, space.classes)
    schedule = training.schedule(MILESTONES[space.large])
    with training.how.begun() as computing:

        def fitted(trained_nets: Sequence[Choice], title: str, *, distilled: bool = True) -> nn.Module:
            with seeded(training.how.seed):
                depths = Depths(space, trained_nets, schedule.steps)
            loss = EmbeddedDistillation(
                KL.get(space.classes, 1.5), strength=(lambda: depths.strength) if distilled else (lambda: 0.0)
            )
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
        if training.own.compare:
            undistilled = fitted(nets, "all depths undistilled", distilled=False)
            points += [point("undistilled", net, undistilled) for net in nets]
            points += [point("alone", net, fitted([net], f"{_label(net)} alone")) for net in nets]
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
