"""Where in memory an operation's outputs lie.

Which addresses an allocator returns depends on the heap and rarely changes within a process: placement is a bias of a
process, not noise. Where the caches hold one buffer but not two, it makes an operation a third slower. So every block
gets addresses of its own, and no latency depends on one of them.
"""

import random

import torch

MOST_FILLERS = 12
MOST_BYTES = 2**22


class Placement:
    """Fillers that are never touched take the addresses that the allocator would have returned next."""

    def __init__(self) -> None:
        self._random = random.Random()
        self._fillers: list[torch.Tensor] = []

    def move(self) -> None:
        """Move what is allocated from now on to other addresses."""
        self._fillers.clear()
        for _ in range(self._random.randrange(MOST_FILLERS)):
            self._fillers.append(torch.empty(self._random.randrange(MOST_BYTES), dtype=torch.uint8))


def shifted() -> list[torch.Tensor]:
    """Fillers to hold while a process lives, so that what it builds lies elsewhere than in every other process.

    Workers are forked from one, with one heap; each is to be a sample of its own of where things may lie.
    """
    generator = random.Random()
    sizes = [generator.randrange(MOST_BYTES >> shift) for shift in range(MOST_FILLERS)]
    return [torch.empty(size, dtype=torch.uint8) for size in generator.sample(sizes, len(sizes))]
