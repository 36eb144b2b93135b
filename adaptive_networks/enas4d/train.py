"""adaptive-networks enas4d: train a once-for-all network of stages, and search members and thresholds in it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from adaptive_networks.commands.searching import Member, SearchOptions, found_members, save_members
from adaptive_networks.commands.training import ScheduleOptions, Training, commands
from adaptive_networks.core.distill import divergence
from adaptive_networks.core.images import Judged, judge_part
from adaptive_networks.core.plugin import Choice
from adaptive_networks.core.record import Record
from adaptive_networks.core.staged import StagedNetwork
from adaptive_networks.enas4d.plugin import space as plugin
from adaptive_networks.enas4d.space import SETTINGS
from adaptive_networks.enas4d.supernet import Supernet
from lgcnet_search.space.network import seeded

Outputs = tuple[tuple[Tensor, ...], ...]


@dataclass(frozen=True)
class SandwichLoss:
    """Over members and exits: CE, and KL from the largest member's last exit, which teaches all others."""

    def __call__(self, outputs: Outputs, targets: Tensor, /) -> tuple[Tensor, Tensor]:
        teacher = outputs[0][-1]
        loss = F.cross_entropy(teacher, targets, reduction="sum")
        for logits in [logits for member in outputs for logits in member if logits is not teacher]:
            loss = loss + F.cross_entropy(logits, targets, reduction="sum") + divergence(logits, teacher)
        return loss, targets.new_tensor(len(targets))


def trained(training: Training[SearchOptions]) -> Record:
    """Train; with a device at hand search in it under ceilings, else take its largest and smallest members."""
    space = training.chosen(SETTINGS)
    images, schedule = training.read(space.side, space.classes), training.schedule(weight_decay=3e-5)
    with training.how.begun() as computing:
        with seeded(training.how.seed):
            supernet = Supernet(space, schedule.steps, training.how.seed)
        training.fit(plugin, supernet, images, schedule, SandwichLoss(), computing)

        def recalibrated(choice: Choice) -> StagedNetwork:
            """A member with BatchNorm statistics of its own."""
            member = supernet.member(choice)
            training.recalibrate(member, images.train, computing, batches=4)
            return member

        @cache
        def held_out(choice: Choice) -> Judged:
            return judge_part(recalibrated(choice), images.held_out, computing)

        def deployed(member: Member) -> StagedNetwork:
            return recalibrated(member.choice)

        members = found_members(training, plugin, space, held_out)
        return save_members(training, plugin, space, supernet.largest, images, computing, members, deployed)


cli = commands(
    trained,
    ScheduleOptions(batch=64, lr=0.05, epochs=2),
    SearchOptions(generations=4, population=16),
    Path("runs/enas4d"),
    __doc__,
)
