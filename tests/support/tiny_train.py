"""A small training."""

from collections.abc import Callable, Iterator
from itertools import count

import torch
from torch import Tensor, nn

from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.losses import CrossEntropy
from lgcnet_search.computing.processes import Processes
from lgcnet_search.space.network import seeded
from lgcnet_search.space.space import Space
from lgcnet_search.training.train import Schedule, train
from tests.support.tiny_spaces import TINY


def batches(space: Space, images: int = 4) -> Callable[[int], Iterator[Batch]]:
    """A batch of its own for each step: brightness tells the class, some pixels are ignored."""

    def source(used: int) -> Iterator[Batch]:
        for step in count(used):
            generator = torch.Generator().manual_seed(step)
            targets = torch.randint(0, space.classes, (images, space.height, space.width), generator=generator)
            targets = targets[:, ::8, ::8].repeat_interleave(8, 1).repeat_interleave(8, 2)
            targets = targets[:, : space.height, : space.width].contiguous()
            noise = 0.1 * torch.randn(images, *space.input_shape, generator=generator)
            pictures = noise + targets[:, None]
            targets[0, : step % 5] = 255
            yield pictures, targets

    return source


def pointwise() -> nn.Module:
    """Without BatchNorm, which a part of a batch changes."""
    with seeded(0):
        return nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, TINY.classes, 1))


def normalized() -> nn.Module:
    """With BatchNorm, whose statistics are each process's own on a CPU."""
    with seeded(0):
        return nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, TINY.classes, 1))


def trained(
    processes: Processes | None = None, accumulate: int = 1, make: Callable[[], nn.Module] = pointwise
) -> dict[str, Tensor]:
    """The weights after 10 steps on batches of 4, of which each process and part takes its share."""
    processes = processes or Processes()
    parts = processes.count * accumulate

    def shares(used: int) -> Iterator[Batch]:
        for images, targets in batches(TINY)(used // accumulate):
            split = list(zip(images.chunk(parts), targets.chunk(parts), strict=True))
            yield from split[processes.rank :: processes.count]

    network = make()
    train(network, shares, Schedule(10, 0.1), CrossEntropy(), Computing(accumulate=accumulate, processes=processes))
    return dict(network.state_dict())
