"""Random inputs, shared by place and shape."""

import torch

Shapes = tuple[tuple[int, ...], ...]
"""One shape per input, with the batch dimension."""

INPUT_SEED = 0


class RandomInputs:
    """Near 100 keys of one network have some 20 shapes: inputs of equal place and shape share one buffer.

    All workloads stay ready at once, as interleaving wants, at the memory of those shapes and the weights.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._random = torch.Generator().manual_seed(INPUT_SEED)
        self._made: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}

    def __call__(self, shapes: Shapes) -> tuple[torch.Tensor, ...]:
        return tuple(self._input(place, shape) for place, shape in enumerate(shapes))

    def _input(self, place: int, shape: tuple[int, ...]) -> torch.Tensor:
        if (place, shape) not in self._made:
            values = torch.randn(shape, generator=self._random)
            self._made[place, shape] = values.to(device=self._device, dtype=self._dtype)
        return self._made[place, shape]
