"""adaptive-networks ranet: train on class folders, choose thresholds, measure and expect."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
import typer
from torch import Tensor

from adaptive_networks.commands.pictures import leaving
from adaptive_networks.commands.training import NoOptions, ScheduleOptions, Training, commands
from adaptive_networks.core.exits import shares, taken, thresholds
from adaptive_networks.core.images import Chosen, Judged, judge_both
from adaptive_networks.core.record import Record, points_of, rated_paths
from adaptive_networks.ranet.plugin import space as plugin
from adaptive_networks.ranet.space import SETTINGS
from lgcnet_search.data.segmentation import open_rgb
from lgcnet_search.space.network import seeded

SHOWN = 8
"""Images of each exit in the picture."""


@dataclass(frozen=True)
class ExitsLoss:
    """The sum of the exits' cross-entropies, equal weights (the authors' code)."""

    def __call__(self, outputs: tuple[Tensor, ...], targets: Tensor, /) -> tuple[Tensor, Tensor]:
        losses = [F.cross_entropy(logits, targets, reduction="sum") for logits in outputs]
        return sum(losses[1:], losses[0]), targets.new_tensor(len(targets))


def trained(training: Training[NoOptions]) -> Record:
    """Train all exits together; 39 thresholds, and a picture of what leaves where."""
    space = training.chosen(SETTINGS)
    images = training.read(space.side, space.classes)
    with training.how.begun() as computing:
        with seeded(training.how.seed):
            network = plugin.staged(space)
        training.fit(plugin, network, images, training.schedule(), ExitsLoss(), computing)
        held_out, test = judge_both(network, images, computing)
        labels = [f"exit {number}" for number in range(1, len(network.plan.exits) + 1)]
        paths = rated_paths(plugin, space, labels)
        record = training.save(plugin, network, images, paths, points_of(held_out, test))
        typer.echo(_draw(held_out, test, images.test, training.out))
        return record


def _draw(held_out: Judged, test: Judged, images: Chosen, out: Path) -> Path:
    """Test images that leave at each exit when equal shares are wanted, the most confident first."""
    exits = len(test.confidence)
    exit_of = taken(test.confidence, thresholds(held_out.confidence, shares(20, exits)))
    rows = []
    for exit in range(exits):
        there = np.flatnonzero(exit_of == exit)
        first = there[np.argsort(-test.confidence[exit, there])][:SHOWN]
        files = [images.images.files[images.indices[int(index)]][0] for index in first]
        rows.append(
            (f"exit {exit + 1}: {len(there) / len(exit_of):.0%}", [np.asarray(open_rgb(file)) for file in files])
        )
    return leaving(rows, out / "leaving.png", "What leaves where, the most confident of each exit")


cli = commands(trained, ScheduleOptions(batch=64), NoOptions(), Path("runs/ranet"), __doc__)
