"""A training step as an operation: forward, backward and update of one block, for a latency table's rows.

The space digest of every system that trains covers this file: it holds no f-string.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.blocks import Operation, Shape
from lgcnet_search.computing.batches import IGNORE

PREFIX = "train_"
"""Of the name of an operation's training step."""
LOSS = "train_loss"
MOMENTUM = 0.9


class TrainStep(Operation):
    """Forward, backward and SGD with momentum of a module, in place; returns the output, detached.

    The gradient that comes from above is random and always the same. With `lr` 0 the arithmetic is that of training
    and the parameters stay. Without `input_gradient` none is computed for the input: the first block of a network.
    Stays in training mode, and trains under inference mode too. Inputs are copied when others come than before.
    """

    def __init__(self, trained: nn.Module, *, input_gradient: bool = True, lr: float = 0.0) -> None:
        super().__init__()
        self.trained = trained
        self.input_gradient = input_gradient
        self.lr = lr
        self._forget()

    def forward(self, *inputs: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            raise NotImplementedError("a training step has no forward pass to export or compile; use mode pytorch")
        with torch.inference_mode(False), torch.enable_grad():
            output: Tensor = self.trained(*self._copied(inputs))
            output.backward(self._from_above(output))  # type: ignore[no-untyped-call]
            self._update()
            return output.detach()

    def train(self, mode: bool = True) -> "TrainStep":  # noqa: ARG002
        return super().train(True)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "TrainStep":
        """Moved under inference mode, parameters would be tensors that cannot be trained."""
        with torch.inference_mode(False):
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._forget()
        return self

    def _forget(self) -> None:
        """What was made for inputs and parameters before."""
        self._given: tuple[Tensor, ...] = ()
        self._inputs: tuple[Tensor, ...] = ()
        self._gradient: Tensor | None = None
        self._momenta: list[tuple[nn.Parameter, Tensor]] = []

    def _copied(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if len(inputs) != len(self._given) or any(new is not old for new, old in zip(inputs, self._given, strict=True)):
            with torch.no_grad():
                self._inputs = tuple(torch.empty_like(each).copy_(each) for each in inputs)
            for each in self._inputs:
                each.requires_grad_(self.input_gradient)
            self._given = inputs
        return self._inputs

    def _from_above(self, output: Tensor) -> Tensor:
        if self._gradient is None or self._gradient.shape != output.shape:
            generator = torch.Generator().manual_seed(0)
            self._gradient = torch.randn(output.shape, generator=generator, device="cpu").to(output)
        return self._gradient

    @torch.no_grad()
    def _update(self) -> None:
        if not self._momenta:
            self._momenta = [(parameter, torch.zeros_like(parameter)) for parameter in self.parameters()]
        for parameter, momentum in self._momenta:
            assert parameter.grad is not None
            momentum.mul_(MOMENTUM).add_(parameter.grad)
            parameter.add_(momentum, alpha=-self.lr)
            parameter.grad = None
        for each in self._inputs:
            each.grad = None


class TargetsLoss(Operation):
    """Cross-entropy of logits N×classes or N×classes×H×W against targets that are always the same: a scalar."""

    targets: Tensor
    weights: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("targets", torch.randint(shape[0], (1, *shape[1:])))
        self.register_buffer("weights", torch.full((1, *shape[1:]), 1 / (self.targets.numel())))

    def forward(self, logits: Tensor) -> Tensor:
        targets = self.targets.expand(len(logits), *self.targets.shape[1:])
        return weighted_cross_entropy(logits, targets, self.weights)


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Σ weight · cross-entropy over all targets but those ignored, each with a weight of its own."""
    return (weights * F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none")).sum()


def with_training(operations: Mapping[str, Callable[..., Operation]]) -> dict[str, Callable[..., Operation]]:
    """These operations, the training step of each, and that of the loss."""
    every: dict[str, Callable[..., Operation]] = {**operations, "loss": TargetsLoss}
    return {**operations, **{PREFIX + name: _training(make) for name, make in every.items()}}


def _training(make: Callable[..., Operation]) -> Callable[..., TrainStep]:
    def step(*shapes: Shape, input_gradient: bool = True, **params: Any) -> TrainStep:
        return TrainStep(make(*shapes, **params), input_gradient=input_gradient)

    return step
