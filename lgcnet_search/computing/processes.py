"""The processes of one search: launched by torchrun, or one alone."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn  # its functions keep, as defaults, the group there is when it is imported: none must be
from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """Which of how many this one is; what they do together is nothing where there is one."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes: one message, in float32."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, total in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(total.view(tensor.shape))

    def from_first(self, value: T) -> T:
        """The first process's value, in every process."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def synchronize_batch_norm(self, module: nn.Module, device: torch.device) -> None:
        """BatchNorm over the global batch on CUDA. On a CPU, where torch has none, over each process's share."""
        if self.count > 1 and device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]


@contextmanager
def launched(device: torch.device) -> Iterator[tuple[Processes, torch.device]]:
    """What torchrun started (environment RANK, WORLD_SIZE, …), with this process's device: NCCL for CUDA, else gloo."""
    if "WORLD_SIZE" not in os.environ:
        yield Processes(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size()), device
        dist.barrier()  # a process whose peers are gone already may be aborted while it leaves
    finally:
        dist.destroy_process_group()
