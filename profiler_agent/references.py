"""Reference operations: one bound by arithmetic, one by bandwidth, one by launching. They tell the machine's state."""

from typing import NamedTuple

import torch

# The bandwidth that neighbours leave drifts by a tenth within minutes: normalizing takes that out. These two
# move only when the core itself is disturbed.
WATCHED = ("reference-arithmetic", "reference-launch")


class Reference(NamedTuple):
    module: torch.nn.Module
    input_shapes: tuple[tuple[int, ...], ...]


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
    """References for a device of this kind, from under a millisecond to some ten.

    Bandwidth is a matter of where the data lies, so it has three: each copies (reads and writes) its elements.
    """
    on_gpu = device.type == "cuda"
    side = 2048 if on_gpu else 256
    return {
        "reference-arithmetic": Reference(Product(), ((side, side), (side, side))),
        "reference-cache": Reference(torch.nn.ReLU(), ((2**22 if on_gpu else 2**20,),)),
        "reference-bandwidth": Reference(torch.nn.ReLU(), ((2**26 if on_gpu else 2**22,),)),
        "reference-memory": Reference(torch.nn.ReLU(), ((2**27 if on_gpu else 2**25,),)),
        "reference-launch": Reference(Launches(), ((1, 8),)),
    }
