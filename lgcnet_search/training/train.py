"""Training of one network: SGD with the poly schedule, resumable, in one process or several."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD

from lgcnet_search.computing.batches import Batch, Batches, batches_from, next_batches
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.precision import Amp, autocast, scaler
from lgcnet_search.computing.processes import Processes
from lgcnet_search.space.digest import space_digest
from lgcnet_search.training.losses import HardExamples, Loss


class TrainingError(RuntimeError):
    """A training that cannot go on; the message says why."""


@dataclass(frozen=True)
class Schedule:
    """SGD whose learning rate falls as (1 - step / steps)^power: the paper's finetuning.

    Decided where the paper is silent: power, momentum and weight decay.
    """

    steps: int
    learning_rate: float = 0.01
    power: float = 0.9
    momentum: float = 0.9
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: {self.steps} given, at least 1 is needed")
        for name in ("learning_rate", "power"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name}: {getattr(self, name)} given, a finite number above 0 is needed")
        for name in ("momentum", "weight_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} given, a number from 0 to below 1 is needed")

    def at(self, step: int) -> float:
        """The learning rate of a step."""
        return float(self.learning_rate * (1 - step / self.steps) ** self.power)


@dataclass(frozen=True)
class TrainRecord:
    """One step: its loss (mean over what the loss counts, before the update), the share that it counts."""

    step: int
    loss: float
    counted: float
    learning_rate: float


def train(
    network: nn.Module,
    batches: Batches,
    schedule: Schedule,
    loss: Loss | None = None,
    device: torch.device | str = "cpu",
    *,
    accumulate: int = 1,
    amp: Amp = "none",
    channels_last: bool = False,
    processes: Processes | None = None,
    checkpoints: Checkpoints | None = None,
    origin: Mapping[str, Any] | None = None,
    on_step: Callable[[TrainRecord], None] | None = None,
) -> tuple[TrainRecord, ...]:
    """Train `network` in place, moving it to `device`; returns every step's record.

    `loss` is the hard-example cross-entropy unless given. An update takes `accumulate` batches of every one of
    `processes`, each of which gives its own share; all start from equal weights, and end with the first one's. A seed
    gives the same weights on the same machine, also where training goes on from its file in `checkpoints`, which only
    a run of equal schedule, loss, definition of the space and `origin` continues. Raises CheckpointError,
    TrainingError where the loss is no longer finite, ValueError where batches end early.
    """
    loss = loss or HardExamples()
    processes = processes or Processes()
    run = TrainRun(network, schedule, loss, torch.device(device), amp, channels_last, processes)
    described = {
        **(origin or {}),
        "definition": space_digest(),
        **{f"schedule.{name}": value for name, value in asdict(schedule).items()},
        "loss": repr(loss),
        "amp": amp,
        "channels_last": channels_last,
        "accumulate": accumulate,
        "processes": processes.count,
    }
    state = checkpoints.found(described, processes) if checkpoints else None
    if state:
        run.load_state_dict(state)
    source = batches_from(batches, run.steps_done * accumulate)
    while run.steps_done < schedule.steps:
        record = run.step(next_batches(source, accumulate, run.steps_done, schedule.steps))
        if on_step:
            on_step(record)
        if checkpoints and checkpoints.due(run.steps_done, schedule.steps, processes):
            checkpoints.keep(described, run.state_dict())
    if processes.count > 1:
        # Where BatchNorm is not synchronized, running statistics are each process's own.
        state_now = {name: value.cpu() for name, value in network.state_dict().items()}
        network.load_state_dict(processes.from_first(state_now))
    return tuple(run.history)


class TrainRun:
    """A training between two steps: everything that changes, and the step."""

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        loss: Loss,
        device: torch.device,
        amp: Amp,
        channels_last: bool,
        processes: Processes,
    ) -> None:
        self.network = network.to(device).train()
        processes.synchronize_batch_norm(network, device)
        self.schedule = schedule
        self.loss = loss
        self.device = device
        self.amp = amp
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.processes = processes
        self.optimizer = SGD(
            network.parameters(),
            schedule.learning_rate,
            schedule.momentum,
            weight_decay=schedule.weight_decay,
        )
        self.scaler = scaler(device, amp)
        self.history: list[TrainRecord] = []

    @property
    def steps_done(self) -> int:
        return len(self.history)

    def step(self, batches: Sequence[Batch]) -> TrainRecord:
        """One update on this process's share of a global batch. Raises TrainingError."""
        step = self.steps_done
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.at(step)
        self.optimizer.zero_grad()
        total, counted, given = (torch.zeros((), device=self.device) for _ in range(3))
        # How many pixels are hard is known only once all parts have run; until then gradients are those of a mean over
        # all pixels, which fp16 can hold.
        expected = self.processes.count * sum(targets.numel() for _, targets in batches)
        for images, targets in batches:
            part, count = self._loss(images, targets)
            torch.autograd.backward(self.scaler.scale(part / expected))
            total += part.detach()
            counted += count
            given += targets.numel()
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        self.processes.add_up([total, counted, given, *gradients])
        self.scaler.unscale_(self.optimizer)
        torch._foreach_mul_(gradients, expected / counted.clamp(min=1))
        mean, share = torch.stack((total / counted.clamp(min=1), counted / given)).tolist()
        if not math.isfinite(mean):
            raise TrainingError(f"the loss is {mean} at step {step}; lower the learning rate")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.history.append(TrainRecord(step, mean, share, self.schedule.at(step)))
        return self.history[-1]

    def _loss(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        images = images.to(self.device, non_blocking=True, memory_format=self.layout)
        targets = targets.to(self.device, non_blocking=True)
        with autocast(self.device, self.amp):
            logits: Tensor = self.network(images)
        return self.loss(logits.float(), targets)

    def _parts(self) -> dict[str, Any]:
        return {"network": self.network, "optimizer": self.optimizer, "scaler": self.scaler}

    def state_dict(self) -> dict[str, Any]:
        """Everything that a step changes; the data's position follows from the number of steps."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        return {**state, "history": [asdict(record) for record in self.history]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.history = [TrainRecord(**record) for record in state["history"]]
