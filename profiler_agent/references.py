"""Reference operations: one bound by arithmetic, one by bandwidth, one by launching. They tell the machine's state."""

from typing import NamedTuple

import torch


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
    """References of about a millisecond on a device of this kind."""
    on_gpu = device.type == "cuda"
    side = 2048 if on_gpu else 256
    elements = 2**26 if on_gpu else 2**22
    return {
        "reference-arithmetic": Reference(Product(), ((side, side), (side, side))),
        "reference-bandwidth": Reference(torch.nn.ReLU(), ((elements,),)),
        "reference-launch": Reference(Launches(), ((1, 8),)),
    }
