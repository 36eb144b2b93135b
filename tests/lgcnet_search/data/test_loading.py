"""Batches are the same however many workers and processes read them, and a run continues where it stopped."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.processes import Processes
from lgcnet_search.data import loading
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.layouts import LAYOUTS
from lgcnet_search.data.loading import EndlessBatches, endless, in_order
from lgcnet_search.data.views import RandomCrop, Resized


def test_every_epoch_is_another_permutation() -> None:
    keys = [key for batch in islice(EndlessBatches(10, 4, seed=0), 10) for key in batch]
    epochs = [[index for index, epoch in keys if epoch == number] for number in range(4)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_processes_share_the_batch_that_one_would_draw() -> None:
    whole = islice(EndlessBatches(7, 4, seed=3), 9)
    shares = [islice(EndlessBatches(7, 2, seed=3, process=process, processes=2), 9) for process in range(2)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert batch == first + second


def test_a_run_continues_where_it_stopped() -> None:
    whole = list(islice(EndlessBatches(7, 3, seed=3), 12))
    assert list(islice(EndlessBatches(7, 3, seed=3, start_step=5), 7)) == whole[5:]


def test_workers_change_nothing(cityscapes_root: Path) -> None:
    data = LAYOUTS["cityscapes"].open(cityscapes_root, "train", RandomCrop((32, 32)))
    alone = islice(endless(data, 4, seed=1, workers=0), 4)
    helped = islice(endless(data, 4, seed=1, workers=2), 4)
    for (images, labels), (images_2, labels_2) in zip(alone, helped, strict=True):
        assert images.shape == (4, 3, 32, 32)
        assert torch.equal(images, images_2)
        assert torch.equal(labels, labels_2)


def test_evaluation_reads_everything_once(cityscapes_root: Path) -> None:
    data = LAYOUTS["cityscapes"].open(cityscapes_root, "train", Resized((32, 64)), full_labels=True)
    images_read = torch.cat([images for images, _ in in_order(data, 4)])
    assert torch.equal(images_read, torch.stack([data[index][0] for index in range(6)]))
    processes = [Computing(processes=Processes(rank, 4)) for rank in range(4)]
    assert [sum(len(images) for images, _ in in_order(data, 1, share)) for share in processes] == [2, 2, 1, 1]


def test_a_workers_error_reads_like_ones_own(cityscapes_root: Path) -> None:
    for path in cityscapes_root.glob("gtFine/train/*/*"):
        Image.new("L", (2, 2)).save(path)
    data = LAYOUTS["cityscapes"].open(cityscapes_root, "train", Resized((8, 8)))
    with pytest.raises(DataError, match=r"^label .* is 2×2"):
        next(endless(data, 2, seed=0, workers=1))


@pytest.mark.parametrize(
    "reason",
    [
        "unable to allocate shared memory(shm) for file </torch_8_9>: Resource temporarily unavailable (11)",
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of",
        "unable to write to file </torch_7_8_9>: No space left on device (28)",
    ],
)
def test_a_small_shared_memory_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    class Loader:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __iter__(self) -> Iterator[object]:
            raise RuntimeError(f"Caught RuntimeError in DataLoader worker process 0.\n{reason}")

    data: Any = TensorDataset(torch.zeros(3, 1), torch.zeros(3))
    monkeypatch.setattr(loading, "DataLoader", Loader)
    with pytest.raises(DataError, match=r"workers: 2 processes read .* --workers 0, .*--shm-size"):
        next(endless(data, 2, seed=0, workers=2))
    with pytest.raises(RuntimeError, match="Caught"):
        next(endless(data, 2, seed=0, workers=0))
