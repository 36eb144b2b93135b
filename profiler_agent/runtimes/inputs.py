"""Random inputs, shared by position and shape, and intact for every operation."""

from collections.abc import Callable
from hashlib import sha256

import torch

Shapes = tuple[tuple[int, ...], ...]
"""One shape per input, with the batch dimension."""

INPUT_SEED = 0


class WritesToInput(ValueError):
    """A module computes in place on its input, and another result each time; the message has the way out."""


class RandomInputs:
    """Near 100 keys of one network have some 20 shapes: inputs of equal position and shape share one buffer.

    All workloads stay ready at once, as interleaving wants, at the memory of those shapes and the weights.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._tensors: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}

    def __call__(self, shapes: Shapes) -> tuple[torch.Tensor, ...]:
        """The shared buffers; whoever might write to one asks `intact_for`."""
        return tuple(self._input(position, shape) for position, shape in enumerate(shapes))

    def intact_for(self, module: Callable[..., object], shapes: Shapes) -> tuple[object, tuple[torch.Tensor, ...]]:
        """Execute a module once: what it returned, and the inputs that it may be executed on again.

        They are the shared buffers unless it writes to its inputs. One that leaves in them what it would leave there
        again, as a rectifier in place does, gets buffers of its own.

        Raises:
            WritesToInput: every execution would meet another input, until all of it is zero, infinite or denormal.
        """
        shared = self(shapes)
        pristine = tuple(tensor.clone() for tensor in shared)
        met = tuple(tensor.detach() for tensor in shared)  # unsqueeze_ and the like change the shape of these only
        try:
            outputs = module(*met)
            if all(map(torch.equal, met, pristine)):
                return outputs, shared
            own = tuple(tensor.clone() for tensor in met)
        finally:
            for tensor, values in zip(shared, pristine, strict=True):
                tensor.copy_(values)
        written = tuple(tensor.clone() for tensor in own)
        module(*own)
        if not all(map(torch.equal, own, written)):
            raise WritesToInput(
                "it writes to its input, so every execution meets another one, and its latency is of numbers that no "
                "network has; return a new tensor instead (inplace=False, x * y in place of x.mul_(y))"
            )
        return outputs, own

    def _input(self, position: int, shape: tuple[int, ...]) -> torch.Tensor:
        if (position, shape) not in self._tensors:
            # Its own seed: the values do not depend on what else was made.
            seed = int.from_bytes(sha256(f"{INPUT_SEED} {position} {shape}".encode()).digest()[:7], "big")
            values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
            self._tensors[position, shape] = values.to(device=self._device, dtype=self._dtype)
        return self._tensors[position, shape]
