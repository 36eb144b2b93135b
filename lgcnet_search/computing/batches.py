"""Batches as a search or a training takes them: a list gone through again, or a source that starts anywhere."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from torch import Tensor

IGNORE = 255
"""The target of pixels that neither losses nor metrics count."""

Batch = tuple[Tensor, Tensor]
"""Images N×3×H×W in float32; targets in int64: N×H×W with IGNORE where there is nothing to learn, or N classes."""

Batches = Iterable[Batch] | Callable[[int], Iterable[Batch]]
"""Batches, gone through again when they end; or a function from the number of batches already used to the rest."""


def batches_from(batches: Batches, used: int) -> Iterator[Batch]:
    """Without end, or as far as a function's batches reach. Raises ValueError where there are none."""
    if callable(batches):
        return iter(batches(used))
    return islice(_repeated(batches), used, None)


def next_batches(source: Iterator[Batch], count: int, step: int, steps: int) -> list[Batch]:
    """The next `count` batches, for an update after `step` of `steps`. Raises ValueError where they end early."""
    batches = list(islice(source, count))
    if len(batches) < count:
        raise ValueError(f"batches: they ended at step {step} of {steps}")
    return batches


def _repeated(batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        count = 0
        for batch in batches:
            count += 1
            yield batch
        if not count:
            raise ValueError("batches: none left; give a list or a DataLoader, which can be gone through again")
