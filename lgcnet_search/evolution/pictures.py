"""What a supernet is trained on, and what its networks are judged by: pictures of the training split, none in both."""

from collections.abc import Sequence
from itertools import islice

from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.how import Computing
from lgcnet_search.data.loading import endless, in_order
from lgcnet_search.data.segmentation import Files, SegmentationFiles
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.space.space import Space

EVERY = 5
"""One picture in five is held back from the supernet's training: the evaluation split is no searcher's to see."""
JUDGED = 64
"""Pictures that a network is judged by, at most."""
STATISTICS = 4
"""Batches that BatchNorm's statistics are taken from."""


def trained_on(data: DataFolder, space: Space, proxy: Space, seed: int) -> SegmentationFiles:
    """Random crops of the pictures that are not held back. Raises DataError."""
    pictures = data.search_crops(space, proxy, seed)
    return _some(pictures, [file for number, file in enumerate(pictures.files) if number % EVERY])


def statistics(data: DataFolder, proxy: Space, batch: int, seed: int, computing: Computing) -> list[Batch]:
    """Whole pictures that were trained on, at the proxy's size; the same in every process. Raises DataError."""
    pictures = data.whole("train", (proxy.height, proxy.width), full_labels=False)
    kept = _some(pictures, [file for number, file in enumerate(pictures.files) if number % EVERY])
    return list(islice(endless(kept, computing.share(batch), seed=seed, workers=0), STATISTICS))


def judged(data: DataFolder, proxy: Space, batch: int, computing: Computing) -> list[Batch]:
    """This process's share of the pictures held back, whole and with labels at the proxy's size. Raises DataError."""
    pictures = data.whole("train", (proxy.height, proxy.width), full_labels=False)
    files = pictures.files[::EVERY]
    even = files[:: max(1, -(-len(files) // JUDGED))]
    return list(in_order(_some(pictures, even), batch, computing))


def _some(pictures: SegmentationFiles, files: Sequence[Files]) -> SegmentationFiles:
    return SegmentationFiles(
        files, pictures.labels, pictures.views, full_labels=pictures.full_labels, seed=pictures.seed
    )
