"""The search: weights and architecture in one update, on one batch (Eq. 10)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from lgcnet_search.computing.batches import Batch, Batches
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.computing.run import Run, resume
from lgcnet_search.errors import Refused
from lgcnet_search.search.architecture import Architecture
from lgcnet_search.search.ceiling import Ceiling, within_ceiling
from lgcnet_search.search.guide import DIMENSION, Guide, GuidedCells
from lgcnet_search.search.gumbel import temperature_at
from lgcnet_search.search.latency import BETA, LatencyModel
from lgcnet_search.search.supernet import Supernet
from lgcnet_search.search.update import Sampling, Update
from lgcnet_search.space.candidates import candidates_of
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec, seeded
from lgcnet_search.space.space import EDGES_PER_CELL, Space

MANY_STEPS = 10_000
ALPHA_TRAVEL = 10.0
FASTEST_ALPHA_LR = 0.03
FAST_WEIGHT_LR = 0.1

TEMPERATURES: dict[Sampling, tuple[float, float]] = {"soft": (1.0, 0.03), "hard": (1.0, 1.0)}
"""The paper's λ makes soft samples one-hot in the end. Hard ones are anyway: a low λ only takes α's gradient away."""


class SearchError(Refused):
    """A search that cannot go on; the message says why."""


@dataclass(frozen=True)
class SearchSettings:
    """The paper's, but for `steps` and `clip_norm`, which it does not state.

    Raises ValueError naming field and value.
    """

    steps: int = 2000
    beta: float = BETA
    ceiling_us: float | None = None
    """What the network may take at most, in microseconds."""
    quantile: float = 0.5
    """With which probability: 0.95 keeps the upper end of the prediction's 90 % interval under the ceiling."""
    seed: int = 0
    sampling: Sampling = "soft"
    warm_up: float = 0.3
    """The share of the steps in which α is held, so that weights have learned something before it moves."""
    temperature: tuple[float, float] | None = None
    """λ when α begins to move and at the last step; None: TEMPERATURES of the sampling."""
    weight_lr: tuple[float, float] = (0.025, 0.001)
    weight_momentum: float = 0.9
    weight_decay: float = 1e-3
    clip_norm: float = 5.0
    alpha_lr: float = 1e-3
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    alpha_decay: float = 1e-4
    guide: Guide = "edge-similarity"
    """How a cell is guided by the one before it (Tables VI, IX); none: cells are independent."""
    guide_dimension: int = DIMENSION
    """d of Eq. 7 (Table VIII)."""
    shared_cells: bool = False
    """One normal and one reduction cell, repeated (Table VI a); nothing guides them."""
    recompute: bool = False
    """Run each cell again in the backward pass instead of keeping what its candidates returned."""

    def __post_init__(self) -> None:
        for name in ("steps", "guide_dimension"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not at least 1")
        for name, rate in (("alpha_lr", self.alpha_lr), *(("weight_lr", rate) for rate in self.weight_lr)):
            if not (math.isfinite(rate) and rate > 0):
                raise ValueError(f"{name}: {rate} is not a finite number above 0")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise ValueError(f"beta: {self.beta} is not a finite number from 0")
        if self.ceiling_us is not None and not (math.isfinite(self.ceiling_us) and self.ceiling_us > 0):
            raise ValueError(f"ceiling_us: {self.ceiling_us} is not a finite number of microseconds above 0")
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up: {self.warm_up} is not a share of the steps, from 0 to below 1")
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile: {self.quantile} is not a probability between 0 and 1")
        for name, names in (("sampling", get_args(Sampling)), ("guide", get_args(Guide))):
            if getattr(self, name) not in names:
                raise ValueError(f"{name}: {getattr(self, name)!r} is none of {', '.join(names)}")
        if self.shared_cells and self.guide != "none":
            raise ValueError(f"guide: {self.guide!r} with shared cells, which are all alike; take none")
        if self.shared_cells and self.ceiling_us is not None:
            raise ValueError(f"ceiling_us: {self.ceiling_us} with shared cells, which only change together")

    @property
    def temperatures(self) -> tuple[float, float]:
        """λ when α begins to move and at the last step."""
        return TEMPERATURES[self.sampling] if self.temperature is None else self.temperature

    @property
    def warm_up_steps(self) -> int:
        """In how many steps α is held."""
        return int(self.warm_up * self.steps)


class Rates(NamedTuple):
    """Learning rates: α's, and the weights' at the first step and at the last."""

    alpha_lr: float
    weight_lr: tuple[float, float]


def rates_for(steps: int) -> Rates:
    """The paper's from 10 000 steps on; faster ones for fewer.

    Adam moves a parameter by about its learning rate a step: at 0.001 some hundreds of steps leave α where it began, so
    α gets a rate with which it can move by 10. Weights that have learned little rank nothing: 800 steps on CamVid at
    0.025 left all networks alike, at 0.1 they did not.
    """
    weight_lr = SearchSettings.weight_lr if steps >= MANY_STEPS else (FAST_WEIGHT_LR, SearchSettings.weight_lr[1])
    alpha_lr = max(SearchSettings.alpha_lr, ALPHA_TRAVEL / max(1, steps))
    return Rates(min(FASTEST_ALPHA_LR, alpha_lr), weight_lr)


@dataclass(frozen=True)
class StepRecord:
    """One step: losses before its update, temperature, LAT of its sample, mean entropy of the edges in nats.

    `latency_loss` is the term of Eq. 10 with what a ceiling adds to it.
    """

    step: int
    cross_entropy: float
    latency_us: float
    latency_loss: float
    temperature: float
    entropy: float


@dataclass(frozen=True)
class Judged:
    """A network, its mIoU (0 to 1) with the weights that it inherits from the supernet, its predicted latency."""

    genotype: Genotype
    miou: float
    predicted_us: float


@dataclass(frozen=True)
class SearchResult:
    """What was found, its predicted latency, and how the search went."""

    genotype: Genotype
    predicted_us: float
    history: tuple[StepRecord, ...]
    settings: SearchSettings
    proxy: Space
    latencies_digest: str
    entropies: Mapping[str, float]
    """Edge name → how undecided it is: entropy of Softmax(α'), in nats."""
    supernet: Supernet = field(compare=False, repr=False)
    """With the weights that it was left with."""
    log_alpha: Mapping[str, Tensor] = field(compare=False, repr=False)
    """Edge name → α' of its candidates (Eq. 5)."""
    judged: tuple[Judged, ...] = ()
    """The networks that this one was chosen from, the most likely one first; none: it is the most likely one."""


def search(
    space: Space,
    proxy: Space,
    latencies: Latencies,
    batches: Batches,
    settings: SearchSettings | None = None,
    computing: Computing = ALONE,
    on_step: Callable[[StepRecord], None] | None = None,
    *,
    checkpoints: Checkpoints | None = None,
    on_architecture: Callable[[int, Architecture], None] | None = None,
) -> SearchResult:
    """Search `space` on the supernet of `proxy` with `latencies` of `space`.

    `proxy` may be smaller and narrower; it has the same edges and classes. Weights are updated by SGD, α and the
    GCN-guided modules by Adam, from one backward pass. A seed gives the same result on the same machine, also where
    the search goes on from its file in `checkpoints`. Each of several processes gives its own share of every global
    batch; all return the same. `on_architecture` is called after `on_step`, with the step.

    Raises before the first step: MissingRows if the table lacks an operation, CeilingTooLow if no network is fast
    enough, CheckpointError for a file that cannot be continued from. Later: ValueError for batches that do not fit or
    end early, SearchError if the loss is no longer finite.
    """
    settings = settings or SearchSettings()
    if [edge.name for edge in space.graph.edges] != [edge.name for edge in proxy.graph.edges]:
        raise ValueError(f"proxy: {proxy} has other edges than {space}; only size, channels and classes may differ")
    if space.classes != proxy.classes:
        raise ValueError(f"proxy: {proxy.classes} classes, the space has {space.classes}")
    run = SearchRun(space, proxy, latencies, settings, computing)

    def follow(record: StepRecord) -> None:
        if on_step:
            on_step(record)
        if on_architecture:
            on_architecture(record.step, run.architecture)

    resume(run, batches, checkpoints, follow)
    genotype = run.genotype()
    predicted_us = latencies.network_us(network_spec(genotype))
    return SearchResult(
        genotype,
        predicted_us,
        tuple(run.history),
        settings,
        proxy,
        latencies.digest,
        run.architecture.entropies(),
        run.supernet,
        {name: row.detach().cpu() for name, row in run.architecture().by_edge(space).items()},
    )


class SearchRun(Run[StepRecord]):
    """A search between two steps."""

    def __init__(
        self, space: Space, proxy: Space, latencies: Latencies, settings: SearchSettings, computing: Computing = ALONE
    ) -> None:
        super().__init__(settings.steps, computing, StepRecord)
        self.proxy = proxy
        self.settings = settings
        self.latencies = latencies
        self.ceiling = (
            None
            if settings.ceiling_us is None
            else Ceiling.reachable(space, latencies, settings.ceiling_us, settings.quantile)
        )
        device = computing.device
        latency = LatencyModel(space, latencies).to(device)
        with seeded(settings.seed):
            supernet = Supernet(proxy, settings.recompute)
            sizes = (space.cells, EDGES_PER_CELL, len(candidates_of("cell")))
            guide = GuidedCells(*sizes, settings.guide, settings.guide_dimension)
            self.architecture = Architecture(space, guide, settings.shared_cells).to(device)
        supernet.to(device)
        computing.processes.synchronize_batch_norm(supernet, device)
        self.supernet = supernet.train()
        first, last = settings.weight_lr
        self.weights = SGD(
            supernet.parameters(), first, settings.weight_momentum, weight_decay=settings.weight_decay, fused=True
        )
        for parameter in supernet.parameters():
            # The fused update asks for the momentum of all, also of those that have not been run yet.
            self.weights.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        self.alphas = Adam(
            self.architecture.parameters(), settings.alpha_lr, settings.alpha_betas, weight_decay=settings.alpha_decay
        )
        self.schedule = CosineAnnealingLR(self.weights, settings.steps, last)
        self.noise = torch.Generator().manual_seed(settings.seed)
        self.update = Update(
            supernet,
            self.architecture,
            latency,
            self.weights,
            self.alphas,
            beta=settings.beta,
            ceiling_us=None if self.ceiling is None else self.ceiling.predicted_us,
            clip_norm=settings.clip_norm,
            sampling=settings.sampling,
            computing=computing,
        )

    def step(self, batches: Sequence[Batch]) -> StepRecord:
        """One update on this process's share of a global batch. Raises ValueError, SearchError."""
        for batch in batches:
            _check(batch, self.proxy)
        step = self.steps_done
        held = self.settings.warm_up_steps
        temperature = temperature_at(max(0, step - held), self.settings.steps - held, *self.settings.temperatures)
        entropy = self.architecture.entropy()
        cross_entropy, latency_us, latency_loss = self.update(batches, temperature, self.noise, held=step < held)
        if not math.isfinite(cross_entropy):
            raise SearchError(f"cross-entropy is {cross_entropy} at step {step}; lower the learning rate")
        self.schedule.step()
        self.history.append(StepRecord(step, cross_entropy, latency_us, latency_loss, temperature, entropy))
        return self.history[-1]

    @torch.no_grad()
    def genotype(self) -> Genotype:
        """The most likely network, under the ceiling if there is one."""
        if self.ceiling is None:
            return self.architecture.genotype()
        space = self.architecture.space
        return within_ceiling(space, self.architecture().by_edge(space), self.latencies, self.ceiling)

    @property
    def origin(self) -> Mapping[str, Any]:
        return {
            "latencies": self.latencies.digest,
            "device": self.latencies.device.name,
            "definition": space_digest(),
            **self.computing.origin,
            **{f"space.{name}": value for name, value in asdict(self.architecture.space).items()},
            **{f"proxy.{name}": value for name, value in asdict(self.proxy).items()},
            **{f"settings.{name}": value for name, value in asdict(self.settings).items()},
        }

    @property
    def parts(self) -> Mapping[str, Any]:
        return {
            "supernet": self.supernet,
            "architecture": self.architecture,
            "weights": self.weights,
            "alphas": self.alphas,
            "schedule": self.schedule,
            "scaler": self.update.scaler,
        }

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "noise": self.noise.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.noise.set_state(state["noise"])


def _check(batch: Batch, proxy: Space) -> None:
    images, targets = batch
    count = len(images)
    if images.shape[1:] != proxy.input_shape or targets.shape != (count, proxy.height, proxy.width):
        raise ValueError(
            f"batches: images {tuple(images.shape)} with targets {tuple(targets.shape)} given, the proxy takes "
            f"N×3×{proxy.height}×{proxy.width} with N×{proxy.height}×{proxy.width}"
        )
    if count < 2:
        raise ValueError("batches: one image given, at least 2 are needed (BatchNorm after global pooling)")
