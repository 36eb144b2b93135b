"""Where many networks are made: by this process, by several processes of this machine, or on a Dask cluster."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from latency_tables.children import end_with_parent
from lgcnet_search.errors import Refused

T = TypeVar("T")

CONNECT_S = 10.0


class EngineError(Refused):
    """A cluster that cannot be used, or that lost a network too often; the message says why, and the way out."""


@dataclass(frozen=True)
class Engine:
    """How many tasks run `at_once` on this machine, or the `cluster`, the address of a Dask scheduler.

    Dask rather than Ray: its executor is the interface of Python's own pools, so one machine and many run the same
    code; it is Python alone, and its workers are started by whatever a cluster has (SSH, Slurm, Kubernetes). Workers
    see the folders of results and data under the same names. A task whose worker dies runs again on another one and
    goes on from its checkpoint. With `gpu`, a task takes one unit of the resource GPU: a worker for each GPU is
    started with CUDA_VISIBLE_DEVICES and `--resources GPU=1`.
    """

    at_once: int = 1
    cluster: str | None = None
    gpu: bool = False

    @contextmanager
    def opened(self) -> Iterator["Pool"]:
        """What runs tasks, for the length of a `with` block. Raises EngineError."""
        if self.cluster is not None:
            with _on_cluster(self.cluster, self.gpu) as executor:
                yield Pool(executor)
        elif self.at_once > 1:
            # Spawned, not forked: this process may have torch threads running.
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(self.at_once, mp_context=spawn, initializer=_one_thread) as executor:
                yield Pool(executor)
        else:
            yield Pool(None)


class Pool:
    """Runs tasks with an executor, or in this process, one after the other."""

    def __init__(self, executor: Executor | None) -> None:
        self._executor = executor

    @property
    def here(self) -> bool:
        """Whether tasks run in this process."""
        return self._executor is None

    def run(self, function: Callable[..., T], tasks: Sequence[Sequence[Any]]) -> Iterator[tuple[int, T]]:
        """`function(*task)` of every task with its index, as they are done.

        Raises what `function` raises; tasks that have not begun are then left out.
        """
        if self._executor is None:
            yield from ((index, function(*task)) for index, task in enumerate(tasks))
            return
        indices: dict[Future[T], int] = {
            self._executor.submit(function, *task): index for index, task in enumerate(tasks)
        }
        try:
            for future in as_completed(indices):
                yield indices[future], future.result()
        finally:
            for future in indices:
                future.cancel()


@contextmanager
def _on_cluster(address: str, gpu: bool) -> Iterator[Executor]:
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise EngineError("cluster: Dask is not installed; pip install 'lgcnet[cluster]' brings it") from error
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EngineError(f"cluster: no Dask scheduler answers at {address} ({error})") from error
    with client:
        if gpu and not client.run_on_scheduler(_workers_with_gpu()):
            raise EngineError(
                "cluster: no worker has the resource GPU; start one for each GPU with --resources GPU=1, "
                "or compute on CPUs (--train-on cpu)"
            )
        try:
            # Impure: equal arguments are run again, since their checkpoints may have gone.
            yield client.get_executor(pure=False, **({"resources": {"GPU": 1}} if gpu else {}))
        except KilledWorker as error:
            raise EngineError(
                f"cluster: workers died again and again while they made a network ({error}); "
                "their logs say why, often too little memory"
            ) from error


def _workers_with_gpu() -> Callable[..., int]:
    """How many workers of a scheduler have the resource GPU; sent as code, since it need not have this package."""

    def count(dask_scheduler: Any) -> int:
        return sum("GPU" in worker.resources for worker in dask_scheduler.workers.values())

    return count


def _one_thread() -> None:
    end_with_parent()
    torch.set_num_threads(1)
