"""A training with its own schedule and checkpoint, followed on the screen."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lgcnet_search.commands.common import progress_bar, share_of, usage
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.precision import Amp
from lgcnet_search.computing.processes import Processes
from lgcnet_search.data.imagenet import ImageNet
from lgcnet_search.data.loading import shares
from lgcnet_search.data.segmentation import SegmentationFiles
from lgcnet_search.training.losses import Loss
from lgcnet_search.training.train import Schedule, TrainRecord, train


@dataclass(frozen=True)
class Computing:
    """How a training is computed; `batch` is over all processes."""

    batch: int
    accumulate: int
    amp: Amp
    channels_last: bool
    workers: int
    seed: int
    save_every: int
    device: torch.device
    processes: Processes


@dataclass(frozen=True)
class Phase:
    """A training from one schedule, with a checkpoint of its own."""

    name: str
    epochs: int
    learning_rate: float
    weight_decay: float
    loss: Loss
    checkpoint: Path

    def run(
        self,
        network: nn.Module,
        dataset: SegmentationFiles | ImageNet,
        how: Computing,
        origin: Mapping[str, Any],
        data: str,
    ) -> tuple[TrainRecord, ...]:
        """Train, or take over what the checkpoint has of it."""
        share = share_of(how.batch, how.processes.count * how.accumulate)
        steps = math.ceil(self.epochs * len(dataset) / how.batch)
        with usage():
            schedule = Schedule(steps, self.learning_rate, weight_decay=self.weight_decay)
        batches = shares(dataset, share, seed=how.seed, workers=how.workers, processes=how.processes)
        with progress_bar(self.name, steps, shown=how.processes.first) as (progress, task):

            def on_step(record: TrainRecord) -> None:
                note = f"loss {record.loss:.3f}  lr {record.learning_rate:.4f}"
                progress.update(task, completed=record.step + 1, note=note)

            return train(
                network,
                batches,
                schedule,
                self.loss,
                how.device,
                accumulate=how.accumulate,
                amp=how.amp,
                channels_last=how.channels_last,
                processes=how.processes,
                checkpoints=Checkpoints(self.checkpoint, how.save_every, f"{data}, {how.batch} images in an update"),
                origin={**origin, "phase": self.name, "seed": how.seed},
                on_step=on_step,
            )
