"""adaptive-networks enas4d: train a once-for-all network of stages, and search members and thresholds in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from adaptive_networks.commands.searching import (
    Member,
    SearchOptions,
    calibrated_latencies,
    search_members,
    write_members,
)
from adaptive_networks.commands.training import ScheduleOptions, Training, commands
from adaptive_networks.core.distill import divergence
from adaptive_networks.core.exits import all_to, operate
from adaptive_networks.core.images import Judged, judge_both
from adaptive_networks.core.plugin import Choice
from adaptive_networks.core.record import Point, RatedPath, Record, moved, operated, rated_paths
from adaptive_networks.enas4d.plugin import space as plugin
from adaptive_networks.enas4d.space import SETTINGS, Space
from adaptive_networks.enas4d.supernet import Supernet
from lgcnet_search.space.network import seeded

Outputs = tuple[tuple[Tensor, ...], ...]
JudgeBoth = Callable[[Choice], tuple[Judged, Judged]]
"""A member on held-out and on test images."""


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

        @cache
        def judge(choice: Choice) -> tuple[Judged, Judged]:
            """With BatchNorm statistics of the member's own."""
            member = supernet.member(choice)
            training.recalibrate(member, images.train, computing, batches=4)
            return judge_both(member, images, computing)

        members = _searched(training, space, judge) if training.asked else []
        members = members or [Member("static", name, choice) for name, choice in _ends(space).items()]
        write_members(space, members, training.out)
        ceilings_us = list(dict.fromkeys(member.ceiling_us for member in members if member.ceiling_us))
        return training.save(plugin, supernet.largest, images, *_rated(space, members, judge), ceilings_us)


def _searched(training: Training[SearchOptions], space: Space, judge: JudgeBoth) -> list[Member]:
    """On the first device and mode that were asked for, whose table gets all rows of the space and is calibrated."""
    asked = training.asked
    assert asked is not None
    with asked.connected() as client:
        target = asked.targets(client)[0]
        latencies = calibrated_latencies(client, plugin, space, space.operations, *target)
    return search_members(
        plugin,
        space,
        latencies,
        lambda choice: judge(choice)[0],
        training.own,
        asked.ceilings_us,
        training.how.seed,
    )


def _ends(space: Space) -> dict[str, Choice]:
    return {"largest": space.largest, "smallest": space.smallest}


def _rated(space: Space, members: Sequence[Member], judge: JudgeBoth) -> tuple[list[RatedPath], list[Point]]:
    """The paths of some members, and a point for each."""
    exits = len(space.stem)
    paths: list[RatedPath] = []
    points: list[Point] = []
    for number, member in enumerate(members):
        held_out, test = judge(member.choice)
        whole = operate(held_out.confidence, held_out.correct, all_to(exits - 1, exits))
        labels = [f"{member.series}, {member.label}, exit {exit + 1}" for exit in range(exits)]
        paths += rated_paths(plugin, space, labels, member.choice)
        point = operated(member.series, member.label, member.operating or whole, test)
        points += moved([point], number * exits, len(members) * exits)
    return paths, points


cli = commands(trained, ScheduleOptions(batch=64, lr=0.05, epochs=2), SearchOptions(), Path("runs/enas4d"), __doc__)
