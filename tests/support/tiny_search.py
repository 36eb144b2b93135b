"""A small search. python -m tests.support.tiny_search FILE: with a checkpoint every other step; prints each step."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from uuid import UUID

import torch
from torch import Tensor

from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.processes import Processes
from lgcnet_search.search.search import SearchResult, SearchRun, SearchSettings, StepRecord, search
from lgcnet_search.search.update import Sampling
from lgcnet_search.space.latencies import Latencies
from tests.support.tiny_spaces import TINY, make_table

PROXY = replace(TINY, height=33, width=49)
ONE = UUID(int=1)
TABLE = make_table(TINY.operations)
TABLE = TABLE.model_copy(update={"rows": tuple(row.model_copy(update={"measurement_id": ONE}) for row in TABLE.rows)})
"""The same in every process: ids are content too."""

KEPT = SearchSettings(steps=10, seed=3, alpha_lr=0.05)

SHARED = SearchSettings(steps=5, seed=1, beta=0.1, alpha_lr=4e-3)


def batches(used: int = 0, images: int = 4) -> Iterator[Batch]:
    """A batch of its own for each step, some pixels of it ignored."""
    for step in count(used):
        generator = torch.Generator().manual_seed(step)
        targets = torch.randint(0, PROXY.classes, (images, PROXY.height, PROXY.width), generator=generator)
        targets[0, : step % 7] = 255
        yield torch.randn(images, *PROXY.input_shape, generator=generator) + 0.3 * targets[:, None], targets


@cache
def shared(processes: Processes, sampling: Sampling, accumulate: int = 1) -> dict[str, Tensor]:
    """α and modules after all steps on batches of 4, shared by the processes; BatchNorm in its evaluation state."""
    settings = replace(SHARED, sampling=sampling)
    run = SearchRun(TINY, PROXY, Latencies(TABLE), settings, Computing(processes=processes))
    run.supernet.eval()
    parts = processes.count * accumulate
    for images, targets in (next(source) for source in [batches()] for _ in range(settings.steps)):
        split = list(zip(images.chunk(parts), targets.chunk(parts), strict=True))
        run.step(split[processes.rank :: processes.count])
    return run.architecture.state_dict()


def kept(path: Path) -> SearchResult:
    def on_step(record: StepRecord) -> None:
        print(record.step, flush=True)

    return search(
        TINY, PROXY, Latencies(TABLE), batches, KEPT, on_step=on_step, checkpoints=Checkpoints(path, 2, "noise")
    )


def assert_near(states: dict[str, Tensor], expected: dict[str, Tensor], atol: float = 5e-4) -> None:
    assert states.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(states[name], values, rtol=0, atol=atol)


if __name__ == "__main__":
    torch.set_num_threads(1)
    kept(Path(sys.argv[1]))
