"""The supernet's training without an architecture: one path a step, all paths alike."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR

from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.computing.run import Run
from lgcnet_search.evolution.paths import fair_path, one_hot_of
from lgcnet_search.search.search import SearchError
from lgcnet_search.search.supernet import Supernet
from lgcnet_search.search.update import backward
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.network import seeded
from lgcnet_search.space.space import Space


@dataclass(frozen=True)
class PathSettings:
    """How the supernet is trained; what the guided search has too is as there.

    Raises ValueError naming field and value.
    """

    steps: int = 2000
    seed: int = 0
    weight_lr: tuple[float, float] = (0.025, 0.001)
    weight_momentum: float = 0.9
    weight_decay: float = 1e-3
    clip_norm: float = 5.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: {self.steps} is not at least 1")


@dataclass(frozen=True)
class PathRecord:
    """One step: the cross-entropy of its path before the update, and the learning rate."""

    step: int
    cross_entropy: float
    learning_rate: float


class OnePathRun(Run[PathRecord]):
    """A supernet between two steps. Every process draws the same path; each gives its share of a global batch."""

    def __init__(self, proxy: Space, settings: PathSettings, computing: Computing = ALONE) -> None:
        super().__init__(settings.steps, computing, PathRecord)
        self.proxy = proxy
        self.settings = settings
        with seeded(settings.seed):
            supernet = Supernet(proxy).to(computing.device)
        computing.processes.synchronize_batch_norm(supernet, computing.device)
        self.supernet = supernet.train()
        self.parameters = list(supernet.parameters())
        first, last = settings.weight_lr
        self.weights = SGD(self.parameters, first, settings.weight_momentum, weight_decay=settings.weight_decay)
        self.schedule = CosineAnnealingLR(self.weights, settings.steps, last)
        self.scaler = computing.scaler()

    def step(self, batches: Sequence[Batch]) -> PathRecord:
        """One update of the weights on the path of this step. Raises SearchError where the loss is not finite."""
        step, device, processes = self.steps_done, self.computing.device, self.computing.processes
        z = one_hot_of(fair_path(self.proxy, self.settings.seed, step)).map(lambda rows: rows.to(device))
        self.weights.zero_grad()
        total = backward(self.supernet, z, batches, self.computing, self.scaler)
        processes.add_up([total, *(parameter.grad for parameter in self.parameters if parameter.grad is not None)])
        cross_entropy = float(total)
        if not math.isfinite(cross_entropy):
            raise SearchError(f"cross-entropy is {cross_entropy} at step {step}; lower the learning rate")
        self.scaler.unscale_(self.weights)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        learning_rate = float(self.schedule.get_last_lr()[0])
        self.scaler.step(self.weights)
        self.scaler.update()
        self.schedule.step()
        self.history.append(PathRecord(step, cross_entropy, learning_rate))
        return self.history[-1]

    @property
    def origin(self) -> Mapping[str, Any]:
        return {
            "definition": space_digest(),
            **self.computing.origin,
            **{f"proxy.{name}": value for name, value in asdict(self.proxy).items()},
            **{f"settings.{name}": value for name, value in asdict(self.settings).items()},
        }

    @property
    def parts(self) -> Mapping[str, Any]:
        return {
            "supernet": self.supernet,
            "weights": self.weights,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }
