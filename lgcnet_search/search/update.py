"""One update of weights and architecture from one backward pass (Eq. 10)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch.optim import SGD, Adam

from lgcnet_search.computing.batches import IGNORE, Batch
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.losses import LOSSES
from lgcnet_search.search.architecture import Architecture, EdgeTensors
from lgcnet_search.search.gumbel import one_hot
from lgcnet_search.search.latency import LatencyModel, latency_loss
from lgcnet_search.search.supernet import Supernet

Sampling = Literal["soft", "hard"]

LOSS = LOSSES["cross-entropy"]


def backward(
    supernet: Supernet, z: EdgeTensors, batches: Sequence[Batch], computing: Computing, scaler: torch.amp.GradScaler
) -> torch.Tensor:
    """Add the gradients of the cross-entropy of this process's `batches` at z, each run on its own, and return it.

    It is the share of these batches in the mean over all pixels of all processes, a scalar: shares and gradients are
    still to be added up over the processes.
    """
    pixels = torch.stack([(targets != IGNORE).sum() for _, targets in batches]).sum().to(computing.device).float()
    computing.processes.add_up([pixels])
    total = torch.zeros((), device=computing.device)
    for batch in batches:
        images, targets = computing.on_device(batch)
        with computing.autocast():
            logits = supernet(images, z)
        loss = LOSS(logits.float(), targets)[0] / pixels.clamp(min=1)
        torch.autograd.backward(scaler.scale(loss))
        total += loss.detach()
    return total


class Measures(NamedTuple):
    """Before the update: mean cross-entropy over the global batch, LAT of the sample, the loss term of LAT."""

    cross_entropy: float
    latency_us: float
    latency_loss: float


class Update:
    """Draws z, runs the batch, and steps both optimizers.

    soft: z as Eq. 4 gives it; every candidate of positive weight runs. hard: straight-through Gumbel-softmax (Jang
    et al. 2017): one-hot z in the forward pass, and the gradient at it taken as the gradient at the relaxed z. Only
    the sampled candidates run, as in GDAS (Dong & Yang 2019): ∂CE/∂z is known for them and taken as 0 for the
    others, while LAT reaches every candidate. Both are one computation: the supernet and LAT are differentiated at
    a leaf (z, or its one-hot), whose gradient is then handed to z.

    The cross-entropy is the mean over all pixels of all `batches` of all processes, so it depends neither on how
    many processes share a global batch nor on the parts it is accumulated from. Every process draws the same z.
    """

    def __init__(
        self,
        supernet: Supernet,
        architecture: Architecture,
        latency: LatencyModel,
        weights: SGD,
        alphas: Adam,
        *,
        beta: float,
        ceiling_us: float | None,
        clip_norm: float,
        sampling: Sampling,
        computing: Computing,
    ) -> None:
        self.supernet = supernet
        self.parameters = list(supernet.parameters())
        self.architecture = architecture
        self.latency = latency
        self.weights = weights
        self.alphas = alphas
        self.beta = beta
        self.ceiling_us = ceiling_us
        self.clip_norm = clip_norm
        self.sampling = sampling
        self.computing = computing
        self.scaler = computing.scaler()

    def __call__(
        self, batches: Sequence[Batch], temperature: float, noise: torch.Generator, *, held: bool = False
    ) -> Measures:
        """One update from the mean over `batches`, each run on its own; where α is `held`, of the weights alone."""
        z = self.architecture.sample(temperature, noise)
        leaf = (z if self.sampling == "soft" else z.map(one_hot)).map(torch.Tensor.detach)
        if not held:
            leaf = leaf.map(torch.Tensor.requires_grad_)
        self.weights.zero_grad()
        self.alphas.zero_grad()
        total = backward(self.supernet, leaf, batches, self.computing, self.scaler)
        learned = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        self.computing.processes.add_up([total, *learned, *(rows.grad for rows in leaf if rows.grad is not None)])
        latency_us = self.latency(leaf)
        of_latency = latency_loss(latency_us, self.beta, self.ceiling_us if self._too_slow() else None)
        stepping: list[SGD | Adam] = [self.weights]
        if not held:
            torch.autograd.backward(self.scaler.scale(of_latency))
            torch.autograd.backward(z, [rows.grad for rows in leaf])
            stepping.append(self.alphas)
        for optimizer in stepping:
            self.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        for optimizer in stepping:
            self.scaler.step(optimizer)
        self.scaler.update()
        return Measures(*torch.stack((total, latency_us.detach(), of_latency.detach())).tolist())

    @torch.no_grad()
    def _too_slow(self) -> bool:
        """Whether the most likely network is above the ceiling."""
        if self.ceiling_us is None:
            return False
        return bool(self.latency(self.architecture().map(one_hot)) > self.ceiling_us)
