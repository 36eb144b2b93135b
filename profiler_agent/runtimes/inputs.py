"""Random inputs, shared by position and shape."""

import torch

Shapes = tuple[tuple[int, ...], ...]
"""One shape per input, with the batch dimension."""

INPUT_SEED = 0


class RandomInputs:
    """Near 100 keys of one network have some 20 shapes: inputs of equal position and shape share one buffer.

    All workloads stay ready at once, as interleaving wants, at the memory of those shapes and the weights.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._random = torch.Generator().manual_seed(INPUT_SEED)
        self._tensors: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}

    def __call__(self, shapes: Shapes) -> tuple[torch.Tensor, ...]:
        return tuple(self._input(position, shape) for position, shape in enumerate(shapes))

    def _input(self, position: int, shape: tuple[int, ...]) -> torch.Tensor:
        if (position, shape) not in self._tensors:
            values = torch.randn(shape, generator=self._random)
            self._tensors[position, shape] = values.to(device=self._device, dtype=self._dtype)
        return self._tensors[position, shape]
