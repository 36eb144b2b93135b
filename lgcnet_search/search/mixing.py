"""The mixed edge (Eq. 3) as one operation of autograd: a running sum, and no copy of what each candidate returned."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def weighted_sum(z: Tensor, values: Sequence[float], terms: Sequence[Tensor | None]) -> Tensor:
    """Σ z_i t_i over the terms that are not None, at least one and all of one shape; differentiable in z and terms.

    z is 1-D with a weight for each term; its gradient at a missing term is 0. `values` are the numbers in z on
    the host, so that no device is waited for.
    """
    present = tuple(index for index, term in enumerate(terms) if term is not None)
    mixed: Tensor = _WeightedSum.apply(  # type: ignore[no-untyped-call]
        z, present, [values[index] for index in present], *(terms[index] for index in present)
    )
    return mixed


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, present: tuple[int, ...], values: list[float], *terms: Tensor) -> Tensor:
        ctx.save_for_backward(z, *terms)
        ctx.present, ctx.values = present, values
        if values == [1.0]:
            return terms[0].view_as(terms[0])
        mixed = terms[0] * values[0]
        for value, term in zip(values[1:], terms[1:], strict=True):
            mixed.add_(term, alpha=value)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        z, *terms = ctx.saved_tensors
        scaled = [gradient if value == 1 else gradient * value for value in ctx.values]
        if not ctx.needs_input_grad[0]:  # where α is held
            return None, None, None, *scaled
        inner = [torch.zeros((), device=z.device)] * len(z)
        for index, term in zip(ctx.present, terms, strict=True):
            inner[index] = _inner(gradient, term)
        return torch.stack(inner).to(z.dtype), None, None, *scaled


def _inner(left: Tensor, right: Tensor) -> Tensor:
    """The sum over all elements of left · right, in float32 at least."""
    if left.dtype == right.dtype == torch.float32 and left.is_contiguous() and right.is_contiguous():
        return torch.dot(left.view(-1), right.view(-1))
    return (left * right).sum(dtype=torch.promote_types(left.dtype, torch.float32))
