"""A search space of small operations, some of which fail, installed for the tests as any is: as a distribution."""

import os
import time
from collections.abc import Callable

import torch

from latency_tables.contract import NetworkSpec, OperationSpec, sha256

name = "toy"
digest = sha256("toy space, version 1")
requirement = "toy-space==1.0"


def operation(kind: str, side: int = 16) -> OperationSpec:
    return OperationSpec(space=name, space_digest=digest, name=kind, input_shapes=((8, side, side),))


class Failing(torch.nn.Module):
    """After `most` executions the next one calls `fail`."""

    def __init__(self, most: int, fail: Callable[[], None]) -> None:
        super().__init__()
        self._most = most
        self._fail = fail
        self._executions = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self._executions += not x.is_meta
        if self._executions > self._most:
            self._fail()
        return x + 1


def crash() -> None:
    """End the process, as a crash in a kernel would."""
    os._exit(7)


def run_short() -> None:
    raise RuntimeError("cannot allocate memory")


def build_operation(spec: OperationSpec) -> torch.nn.Module:
    if spec.name == "conv":
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return torch.nn.Conv2d(8, 8, 3, padding=1)
    if spec.name == "pool":
        return torch.nn.MaxPool2d(3, 1, 1)
    if spec.name == "deadly":
        return Failing(1, crash)
    if spec.name == "stillborn":
        return Failing(0, crash)
    if spec.name == "exhausted":
        return Failing(1, run_short)
    if spec.name == "slow":
        time.sleep(3600)
    raise AssertionError(f"name={spec.name!r}: the toy space has conv and pool")


def build_network(spec: NetworkSpec) -> torch.nn.Module:
    counts = {item.operation.name: item.count for item in spec.operations}
    return torch.nn.Sequential(
        *(build_operation(operation(kind)) for kind, count in counts.items() for _ in range(count))
    )
