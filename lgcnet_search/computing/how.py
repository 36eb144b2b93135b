"""How batches are computed: on which device, in which precision, by which processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch

from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.processes import Processes

Amp = Literal["none", "bf16", "fp16"]
"""Automatic mixed precision: weights stay in float32, activations are in this type where they may be."""

_TYPES = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Computing:
    """What a search, a training or an evaluation is computed with; its result differs by rounding alone.

    A process's share of an update is run in `accumulate` parts. `workers` processes read images (0: this one does).
    Raises ValueError naming field and value.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    amp: Amp = "none"
    channels_last: bool = False
    accumulate: int = 1
    workers: int = 0
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise ValueError(f"accumulate: {self.accumulate} is not at least 1")
        if self.amp not in _TYPES:
            raise ValueError(f"amp: {self.amp!r} is none of {', '.join(get_args(Amp))}")

    def share(self, batch: int) -> int:
        """How many of a batch's images one part of one process takes. Raises ValueError."""
        parts = self.processes.count * self.accumulate
        share, rest = divmod(batch, parts)
        if rest or share < 2:
            raise ValueError(
                f"batch: {batch} images in {parts} parts (processes × accumulate); at least 2 each, all equal"
            )
        return share

    def on_device(self, batch: Batch) -> Batch:
        """Images and targets, copied while the host goes on."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        images, targets = batch
        images = images.to(self.device, non_blocking=True, memory_format=layout)
        return images, targets.to(self.device, non_blocking=True)

    def autocast(self) -> torch.autocast:
        """The context that a forward pass runs in."""
        return torch.autocast(self.device.type, _TYPES[self.amp], enabled=self.amp != "none")

    def scaler(self) -> torch.amp.GradScaler:
        """Scales the loss where fp16 would lose small gradients (Micikevicius et al. 2018), and nothing otherwise."""
        return torch.amp.GradScaler(self.device.type, enabled=self.amp == "fp16")

    @property
    def origin(self) -> Mapping[str, Any]:
        """What a checkpoint depends on."""
        return {
            "amp": self.amp,
            "channels_last": self.channels_last,
            "accumulate": self.accumulate,
            "processes": self.processes.count,
        }


ALONE = Computing()
"""This process, on the CPU."""
