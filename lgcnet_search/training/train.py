"""Training of one network: SGD with the poly schedule, resumable, in one process or several."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.utils._pytree import tree_map

from lgcnet_search.computing.batches import Batch, Batches
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.computing.losses import LOSSES, Loss
from lgcnet_search.computing.run import Run, resume
from lgcnet_search.errors import Refused
from lgcnet_search.space.digest import space_digest


class TrainingError(Refused):
    """A training that cannot go on; the message says why."""


@dataclass(frozen=True)
class Schedule:
    """SGD whose learning rate falls as (1 - step / steps)^power: the paper's finetuning.

    With `milestones` it is a tenth of it from each of these shares of the steps on, and power does not count; with
    `cosine` it falls as half a cosine. During the first share `warm_up` of the steps it rises from 0. `adamw` takes the
    place of SGD (Loshchilov & Hutter 2019). Decided where the paper is silent: power, momentum and weight decay.
    """

    steps: int
    learning_rate: float = 0.01
    power: float = 0.9
    momentum: float = 0.9
    weight_decay: float = 5e-4
    milestones: tuple[float, ...] = ()
    cosine: bool = False
    warm_up: float = 0.0
    adamw: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: {self.steps} is not at least 1")
        for name in ("learning_rate", "power"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name}: {getattr(self, name)} is not a finite number above 0")
        for name in ("momentum", "weight_decay", "warm_up"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not a number from 0 to below 1")
        if list(self.milestones) != sorted(self.milestones) or not all(0 < share < 1 for share in self.milestones):
            raise ValueError(f"milestones: {self.milestones} are not rising shares of the steps between 0 and 1")

    def at(self, step: int) -> float:
        """The learning rate of a step."""
        if step + 1 < self.warm_up * self.steps:
            return self.learning_rate * (step + 1) / (self.warm_up * self.steps)
        if self.cosine:
            return self.learning_rate * (1 + math.cos(math.pi * step / self.steps)) / 2
        if self.milestones:
            return float(self.learning_rate * 0.1 ** sum(step >= share * self.steps for share in self.milestones))
        return float(self.learning_rate * (1 - step / self.steps) ** self.power)

    def optimizer(self, network: nn.Module) -> Optimizer:
        """Of all parameters."""
        if self.adamw:
            return AdamW(network.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        return SGD(network.parameters(), self.learning_rate, self.momentum, weight_decay=self.weight_decay)


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
    loss: Loss = LOSSES["hard-examples"],
    computing: Computing = ALONE,
    *,
    checkpoints: Checkpoints | None = None,
    origin: Mapping[str, Any] | None = None,
    on_step: Callable[[TrainRecord], None] | None = None,
) -> tuple[TrainRecord, ...]:
    """Train `network` in place, moving it to the device; returns every step's record.

    An update takes as many batches of every process as `computing` accumulates; each process gives its own share. All
    start from equal weights and end with the first one's. A seed gives the same weights on the same machine, also
    where training goes on from its file in `checkpoints`, which only a run of equal schedule, loss, definition of the
    space and `origin` continues. Raises CheckpointError, TrainingError where the loss is no longer finite, ValueError
    where batches end early.
    """
    run = TrainRun(network, schedule, loss, computing, origin or {})
    resume(run, batches, checkpoints, on_step)
    if computing.processes.count > 1:
        # Where BatchNorm is not synchronized, running statistics are each process's own.
        state = {name: value.cpu() for name, value in network.state_dict().items()}
        network.load_state_dict(computing.processes.from_first(state))
    return tuple(run.history)


class TrainRun(Run[TrainRecord]):
    """A training between two steps. `origin` describes the network and its data for checkpoints."""

    def __init__(
        self, network: nn.Module, schedule: Schedule, loss: Loss, computing: Computing, origin: Mapping[str, Any]
    ) -> None:
        super().__init__(schedule.steps, computing, TrainRecord)
        self.network = network.to(computing.device).train()
        computing.processes.synchronize_batch_norm(network, computing.device)
        self.schedule = schedule
        self.loss = loss
        self.optimizer = schedule.optimizer(network)
        self.scaler = computing.scaler()
        self._origin = origin

    @property
    def origin(self) -> Mapping[str, Any]:
        return {
            **self._origin,
            "definition": space_digest(),
            **{f"schedule.{name}": value for name, value in asdict(self.schedule).items()},
            "loss": repr(self.loss),
            **self.computing.origin,
        }

    @property
    def parts(self) -> Mapping[str, Any]:
        return {"network": self.network, "optimizer": self.optimizer, "scaler": self.scaler}

    def step(self, batches: Sequence[Batch]) -> TrainRecord:
        """One update on this process's share of a global batch. Raises TrainingError."""
        step, processes = self.steps_done, self.computing.processes
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.at(step)
        self.optimizer.zero_grad()
        total, counted, targets_seen = (torch.zeros((), device=self.computing.device) for _ in range(3))
        # How many pixels are hard is known only once all parts have run; until then gradients are those of a mean over
        # all pixels, which fp16 can hold.
        expected = processes.count * sum(targets.numel() for _, targets in batches)
        for batch in batches:
            images, targets = self.computing.on_device(batch)
            with self.computing.autocast():
                logits = self.network(images)
            loss, count = self.loss(tree_map(Tensor.float, logits), targets)
            torch.autograd.backward(self.scaler.scale(loss / expected))
            total += loss.detach()
            counted += count
            targets_seen += targets.numel()
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        processes.add_up([total, counted, targets_seen, *gradients])
        self.scaler.unscale_(self.optimizer)
        torch._foreach_mul_(gradients, expected / counted.clamp(min=1))
        mean, share = torch.stack((total / counted.clamp(min=1), counted / targets_seen)).tolist()
        if not math.isfinite(mean):
            raise TrainingError(f"the loss is {mean} at step {step}; lower the learning rate")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.history.append(TrainRecord(step, mean, share, self.schedule.at(step)))
        return self.history[-1]
