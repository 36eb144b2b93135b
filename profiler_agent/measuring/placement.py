"""Where in memory an operation's outputs lie.

An allocator gives one place again and again, or two in turn: as the heap happens to be, and so for a whole process.
Where the caches hold one buffer but not two, an operation then takes a third longer. So every block gets places of its
own, and no latency hangs on one of them.
"""

import random

import torch

MOST_FILLERS = 12
MOST_BYTES = 2**22


class Placement:
    """Fillers that are never touched take the places which the allocator would have given next."""

    def __init__(self) -> None:
        self._random = random.Random()
        self._fillers: list[torch.Tensor] = []

    def move(self) -> None:
        """Let what is allocated from now on lie elsewhere than it did."""
        self._fillers.clear()
        for _ in range(self._random.randrange(MOST_FILLERS)):
            self._fillers.append(torch.empty(self._random.randrange(MOST_BYTES), dtype=torch.uint8))
