"""Batches that keep ahead of the step, endless for search and training, in order for evaluation."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.data.errors import DataError


class EndlessBatches(Sampler[list[tuple[int, int]]]):
    """Keys (index, epoch) of one process's share of each global batch, without end.

    Every epoch is a permutation seeded by (seed, epoch); an epoch's last samples share a batch with the next one's
    first. The `processes` shares of a step are together the batch that one process would have drawn, so the order
    does not depend on how many processes or workers there are. `start_step` continues where a run stopped.
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        *,
        seed: int,
        start_step: int = 0,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.start_step = start_step
        self.process = process
        self.processes = processes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in count(self.start_step):
            first = (step * self.processes + self.process) * self.batch_size
            batch = []
            for position in range(first, first + self.batch_size):
                if position // self.samples != epoch:
                    epoch = position // self.samples
                    order = np.random.default_rng((self.seed, epoch)).permutation(self.samples)
                batch.append((int(order[position % self.samples]), epoch))
            yield batch


def endless(
    dataset: Dataset[tuple[Tensor, Any]],
    batch_size: int,
    *,
    seed: int,
    workers: int = 2,
    start_step: int = 0,
    process: int = 0,
    processes: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches without end, read ahead by `workers` processes (0 reads in this one)."""
    samples = _samples(dataset)
    keys = EndlessBatches(samples, batch_size, seed=seed, start_step=start_step, process=process, processes=processes)
    yield from _batches(dataset, workers, batch_sampler=keys)


def shares(
    dataset: Dataset[tuple[Tensor, Any]], batch: int, seed: int, computing: Computing
) -> Callable[[int], Iterator[tuple[Tensor, Tensor]]]:
    """From the number of batches already used to this process's parts of the others, of `batch` images over all.

    Raises ValueError for a batch that cannot be shared.
    """
    share, processes = computing.share(batch), computing.processes

    def batches(used: int) -> Iterator[tuple[Tensor, Tensor]]:
        return endless(
            dataset,
            share,
            seed=seed,
            workers=computing.workers,
            start_step=used,
            process=processes.rank,
            processes=processes.count,
        )

    return batches


def in_order(
    dataset: Dataset[tuple[Tensor, Any]], batch_size: int, computing: Computing = ALONE
) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's share of the data set once, in order: evaluation."""
    indices = list(range(computing.processes.rank, _samples(dataset), computing.processes.count))
    yield from _batches(dataset, computing.workers, batch_size=batch_size, sampler=indices)


def _samples(dataset: Dataset[Any]) -> int:
    samples = len(dataset)  # type: ignore[arg-type]
    if not samples:
        raise DataError("the data set is empty")
    return samples


def _batches(dataset: Dataset[Any], workers: int, **batches: Any) -> Iterator[tuple[Tensor, Tensor]]:
    loader: DataLoader[Any] = DataLoader(
        dataset,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
        **batches,
    )
    try:
        yield from ((images, targets) for images, targets in loader)
    except RuntimeError as error:
        if workers and _is_out_of_shared_memory(error):
            raise DataError(
                f"workers: {workers} processes read batches ahead into /dev/shm, which is too small for them; take "
                "--workers 0, a smaller --batch, or a larger /dev/shm (docker run --shm-size 2g)"
            ) from error
        raise
    except DataError as error:
        # A worker's error arrives with its traceback in the message; the last line is the one to read.
        raise DataError(str(error).rpartition("DataError: ")[2].strip()) from error


def _is_out_of_shared_memory(error: BaseException) -> bool:
    """Workers fail at it in several ways: PyTorch's message, the system's, or a signal in the middle of writing."""
    text = str(error)
    return any(sign in text for sign in ("shared memory", "Bus error", "No space left on device", "unable to write"))
