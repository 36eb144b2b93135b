"""BatchNorm statistics for the input that a network is deployed at, where it was trained on smaller crops."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch
from torch import nn

from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.data.loading import endless
from lgcnet_search.data.segmentation import SegmentationFiles
from lgcnet_search.space.network import DerivedNetwork

BATCHES = 16

OnBatch = Callable[[int, int], None]
"""Told how many batches are done, and of how many."""


@torch.no_grad()
def recalibrate(network: nn.Module, batches: Iterable[Batch], computing: Computing = ALONE) -> None:
    """Replace the running statistics of every BatchNorm by the mean over `batches`, weights untouched.

    Borders weigh more in small maps, and a dilated convolution or a global average sees other values there: crops'
    statistics mislead a network on whole images (Wu & Johnson 2021, "precise" statistics). Ends in evaluation mode.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's cumulative mean
    network.to(computing.device).train()
    for batch in batches:
        network(computing.on_device(batch)[0])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def whole_network(
    network: DerivedNetwork,
    pictures: SegmentationFiles,
    size: tuple[int, int],
    batch_size: int,
    seed: int = 0,
    computing: Computing = ALONE,
    on_batch: OnBatch | None = None,
) -> DerivedNetwork:
    """A network that was trained on crops, for inputs of `size`, in evaluation mode.

    `pictures` are what it was trained on, at `size`; the same in every process, which then has the same network.
    """
    space = network.genotype.space
    whole = network.at(*size)
    if (space.height, space.width) != size:
        batches = islice(endless(pictures, batch_size, seed=seed, workers=computing.workers), BATCHES)
        recalibrate(whole, _counted(batches, on_batch) if on_batch else batches, computing)
    return whole.eval()


def _counted(batches: Iterable[Batch], on_batch: OnBatch) -> Iterator[Batch]:
    for done, batch in enumerate(batches):
        on_batch(done, BATCHES)
        yield batch
    on_batch(BATCHES, BATCHES)
