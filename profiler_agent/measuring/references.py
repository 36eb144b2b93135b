"""Reference operations: one bound by arithmetic, one by bandwidth, one by launching. They show the machine's state."""

from typing import NamedTuple

import torch

# The bandwidth that neighbours leave drifts by a tenth within minutes: normalizing takes that out. These two
# move only when the core itself is disturbed.
WATCHED = ("reference-arithmetic", "reference-launch")


class Reference(NamedTuple):
    """A workload that shows one side of the machine's state.

    It is read after every `every`-th block of a round and at least once in it. `sensitivity`: how much of its change,
    in logarithms, an operation shows; None for a reference that is not followed, on a GPU none is yet.
    """

    module: torch.nn.Module
    input_shapes: tuple[tuple[int, ...], ...]
    every: int
    sensitivity: float | None


class Product(torch.nn.Module):
    """Square matrix product: arithmetic."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left @ right


class Launches(torch.nn.Module):
    """Many small operations in a row: what calling and launching cost."""

    COUNT = 32

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.COUNT):
            x = torch.relu(x)
        return x


def references(device: torch.device) -> dict[str, Reference]:
    """References for a device of this kind, from some microseconds to a few milliseconds.

    The one bound by bandwidth copies (reads and writes) its elements; what neighbours leave of it changes within
    seconds, so it is read most often. The shares are what explained best why recorded tables of a CPU differ.
    """
    on_gpu = device.type == "cuda"
    side, elements = (2048, 2**26) if on_gpu else (256, 2**22)
    arithmetic, bandwidth = (None, None) if on_gpu else (0.4, 0.05)
    return {
        "reference-arithmetic": Reference(Product(), ((side, side), (side, side)), 6, arithmetic),
        "reference-bandwidth": Reference(torch.nn.ReLU(), ((elements,),), 3, bandwidth),
        "reference-launch": Reference(Launches(), ((1, 8),), 32, None),
    }
