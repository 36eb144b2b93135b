"""The search: weights and architecture in one update, on one batch (Eq. 10)."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from lgcnet_search.architecture import Architecture
from lgcnet_search.genotype import Genotype
from lgcnet_search.graph import GuidedCells
from lgcnet_search.gumbel import temperature_at
from lgcnet_search.latency import BETA, LatencyModel, latency_loss, table_sum_us
from lgcnet_search.network import network_spec, seeded
from lgcnet_search.space import CELL_CANDIDATES, Space
from lgcnet_search.supernet import Supernet
from lut_server.schemas import LatencyTable

IGNORED = 255

Batch = tuple[Tensor, Tensor]
"""Images N×3×H×W in float32, targets N×H×W in int64 with 255 where nothing is to be learned."""


class SearchError(RuntimeError):
    """A search that cannot go on; the message says why."""


@dataclass(frozen=True)
class SearchSettings:
    """The paper's, but for `steps` and `clip_norm` (which it does not state)."""

    steps: int = 2000
    beta: float = BETA
    seed: int = 0
    temperature: tuple[float, float] = (1.0, 0.03)
    weight_lr: tuple[float, float] = (0.025, 0.001)
    weight_momentum: float = 0.9
    weight_decay: float = 1e-3
    clip_norm: float = 5.0
    alpha_lr: float = 1e-3
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    alpha_decay: float = 1e-4

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: {self.steps} given, at least 1 is needed")
        if not (math.isfinite(self.beta) and self.beta >= 0):
            raise ValueError(f"beta: {self.beta} given, a finite number from 0 is needed")


@dataclass(frozen=True)
class StepRecord:
    """One step: losses before its update, temperature, LAT of its sample, mean entropy of the edges in nats."""

    step: int
    cross_entropy: float
    latency_us: float
    temperature: float
    entropy: float


@dataclass(frozen=True)
class SearchResult:
    """What was found, the sum of the table for it, and how the search went."""

    genotype: Genotype
    predicted_us: float
    history: tuple[StepRecord, ...]
    settings: SearchSettings
    proxy: Space
    table_digest: str


def search(
    space: Space,
    proxy: Space,
    table: LatencyTable,
    batches: Iterable[Batch],
    settings: SearchSettings | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[StepRecord], None] | None = None,
) -> SearchResult:
    """Search `space` on the supernet of `proxy` with the latencies of `space` in `table`.

    `proxy` may be smaller and narrower; it has the same edges and classes. `batches` are gone through again when
    they end. Weights are updated by SGD, α and the GCN-guided modules by Adam, from one backward pass. A seed gives
    the same result on the same machine. Raises MissingRows before the first step if the table lacks an operation,
    ValueError for batches that do not fit, SearchError if the loss is no longer finite.
    """
    settings = settings or SearchSettings()
    if [edge.name for edge in space.graph.edges] != [edge.name for edge in proxy.graph.edges]:
        raise ValueError(f"proxy: {proxy} has other edges than {space}; only size, width and classes may differ")
    if space.classes != proxy.classes:
        raise ValueError(f"proxy: {proxy.classes} classes, the space has {space.classes}")
    latency = LatencyModel(space, table).to(device)
    with seeded(settings.seed):
        supernet = Supernet(proxy).to(device).train()
        architecture = Architecture(space, GuidedCells(space.cells, len(CELL_CANDIDATES))).to(device)
    weights, alphas, schedule = _optimizers(supernet, architecture, settings)
    noise = torch.Generator().manual_seed(settings.seed)
    history: list[StepRecord] = []
    for step, (images, targets) in zip(range(settings.steps), _repeated(batches), strict=False):
        _check(images, targets, proxy)
        temperature = temperature_at(step, settings.steps, *settings.temperature)
        z = architecture.sample(temperature, noise)
        logits = supernet(images.to(device, non_blocking=True), z)
        ce = cross_entropy(logits, targets.to(device, non_blocking=True))
        latency_us = latency(z)
        loss = ce + latency_loss(latency_us, settings.beta)
        record = StepRecord(step, float(ce.detach()), float(latency_us.detach()), temperature, architecture.entropy())
        if not math.isfinite(record.cross_entropy):
            raise SearchError(f"cross-entropy is {record.cross_entropy} at step {step}; lower the learning rate")
        weights.zero_grad()
        alphas.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(supernet.parameters(), settings.clip_norm)
        weights.step()
        alphas.step()
        schedule.step()
        history.append(record)
        if on_step:
            on_step(record)
    genotype = architecture.genotype()
    predicted_us = table_sum_us(table, network_spec(genotype))
    return SearchResult(genotype, predicted_us, tuple(history), settings, proxy, table.digest)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the pixels that are not ignored; 0 where all are."""
    total = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
    return total / (targets != IGNORED).sum().clamp(min=1)


def _optimizers(
    supernet: Supernet, architecture: Architecture, settings: SearchSettings
) -> tuple[SGD, Adam, CosineAnnealingLR]:
    first, last = settings.weight_lr
    weights = SGD(supernet.parameters(), first, settings.weight_momentum, weight_decay=settings.weight_decay)
    alphas = Adam(architecture.parameters(), settings.alpha_lr, settings.alpha_betas, weight_decay=settings.alpha_decay)
    return weights, alphas, CosineAnnealingLR(weights, settings.steps, last)


def _repeated(batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        count = 0
        for batch in batches:
            count += 1
            yield batch
        if not count:
            raise ValueError("batches: none left; give a list or a DataLoader, which can be gone through again")


def _check(images: Tensor, targets: Tensor, proxy: Space) -> None:
    count = images.shape[0]
    if images.shape[1:] != proxy.input_shape or targets.shape != (count, proxy.height, proxy.width_px):
        raise ValueError(
            f"batches: images {tuple(images.shape)} with targets {tuple(targets.shape)} given, the proxy takes "
            f"N×3×{proxy.height}×{proxy.width_px} with N×{proxy.height}×{proxy.width_px}"
        )
    if count < 2:
        raise ValueError("batches: one image given, at least 2 are needed (BatchNorm after global pooling)")
