"""A training with its own data, schedule and checkpoint; and a network's whole way through several of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.losses import Loss
from lgcnet_search.data.imagenet import ImageNet
from lgcnet_search.data.loading import shares
from lgcnet_search.data.segmentation import SegmentationFiles
from lgcnet_search.data.views import Size
from lgcnet_search.space.network import DerivedNetwork
from lgcnet_search.training.evaluate import Scores, evaluate
from lgcnet_search.training.recalibrate import whole_network
from lgcnet_search.training.train import Schedule, TrainRecord, train

History = Mapping[str, tuple[TrainRecord, ...]]
"""Every step by the phase's name."""

OnStage = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Phase:
    """A training on one schedule; `batch` is the number of images in an update, over all processes."""

    name: str
    dataset: SegmentationFiles | ImageNet
    batch: int
    schedule: Schedule
    loss: Loss
    seed: int
    checkpoints: Checkpoints

    def run(
        self,
        network: nn.Module,
        computing: Computing,
        origin: Mapping[str, Any],
        on_step: Callable[["Phase", TrainRecord], None] | None = None,
    ) -> tuple[TrainRecord, ...]:
        """Train, or take over what the checkpoint has of it. Raises what `train` raises."""
        return train(
            network,
            shares(self.dataset, self.batch, self.seed, computing),
            self.schedule,
            self.loss,
            computing,
            checkpoints=self.checkpoints,
            origin={**origin, "phase": self.name, "seed": self.seed},
            on_step=(lambda record: on_step(self, record)) if on_step else None,
        )


def train_and_evaluate(
    network: DerivedNetwork,
    phases: Sequence[Phase],
    size: Size,
    pictures: SegmentationFiles,
    held_out: SegmentationFiles,
    computing: Computing,
    origin: Mapping[str, Any],
    *,
    on_step: Callable[[Phase, TrainRecord], None] | None = None,
    on_trained: Callable[[DerivedNetwork, History], None] | None = None,
    on_stage: OnStage | None = None,
) -> Scores:
    """Train a network on crops in all `phases`, move it to inputs of `size`, and evaluate it on `held_out`.

    `pictures` are whole pictures of the training split, for BatchNorm's statistics. `on_trained` gets the network for
    whole inputs before it is evaluated, `on_stage` how far what comes after the training is. Raises what training and
    data raise.
    """
    history = {phase.name: phase.run(network, computing, origin, on_step) for phase in phases}
    last = phases[-1]
    show = on_stage or _ignore
    whole = whole_network(
        network,
        pictures,
        size,
        computing.share(last.batch),
        last.seed,
        computing,
        lambda done, total: show("statistics of BatchNorm", done, total),
    )
    if on_trained:
        on_trained(whole, history)
    return evaluate(
        whole, held_out, computing, lambda index, _: show("evaluating", min(index + 1, len(held_out)), len(held_out))
    )


def _ignore(_stage: str, _done: int, _total: int) -> None:
    pass
