"""From a job to what is executed: search spaces found through entry points, specs built into modules."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast

import torch

from latency_tables.contract import JobRequest, NetworkSpec, OperationSpec
from profiler_agent.errors import JobFailed

ENTRY_POINT_GROUP = "profiler_agent.spaces"


class SearchSpace(Protocol):
    """What an entry point of the group `profiler_agent.spaces` refers to: an object or a module.

    `digest` covers the definitions of the operations. Modules come as deployed: eval mode, BatchNorm folded,
    weights seeded (the same in every process), fp32 on the CPU.
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def requirement(self) -> str: ...

    def build_operation(self, spec: OperationSpec) -> torch.nn.Module: ...

    def build_network(self, spec: NetworkSpec) -> torch.nn.Module:
        """Raises ValueError if the network would execute other operations than `spec.operations`."""
        ...


@dataclass(frozen=True)
class Workload:
    """One key of a job: what to build, and the shapes of its inputs with the batch dimension.

    `is_part`: it is an operation of networks, not a network.
    """

    key: str
    label: str
    build: Callable[[], torch.nn.Module]
    input_shapes: tuple[tuple[int, ...], ...]
    is_part: bool


def installed_spaces() -> dict[str, EntryPoint]:
    """The search spaces installed here, not loaded yet."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}


def load_space(name: str, digest: str, requirement: str) -> SearchSpace:
    """The installed space of this name and exactly these operation definitions.

    Raises:
        JobFailed: it is not installed, does not load, or defines its operations differently; it says what to install.
    """
    installed = installed_spaces()
    if name not in installed:
        names = ", ".join(sorted(installed)) or "none"
        raise JobFailed(
            f"space {name!r} is not installed on this agent (installed: {names}); install it there: "
            f"pip install '{requirement}'"
        )
    entry = installed[name]
    try:
        space = cast(SearchSpace, entry.load())
    except Exception as error:  # the space's code is not ours
        raise JobFailed(
            f"space {name!r} does not load ({error}); install it whole: pip install '{requirement}'"
        ) from error
    if space.digest != digest:
        source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
        raise JobFailed(
            f"space {name!r} of the job has digest {digest[:12]}…, the one on this agent ({source}) has "
            f"{space.digest[:12]}…: its operations are defined differently; install the job's version on the "
            f"agent: pip install --upgrade '{requirement}'"
        )
    return space


def labels_of(request: JobRequest) -> dict[str, str]:
    """The names of a job's keys for people."""
    operations = {operation.digest: str(operation) for operation in request.operations}
    return operations | {network.digest: f"network {network.digest[:12]}" for network in request.networks}


def workloads_of(request: JobRequest, keys: Collection[str]) -> list[Workload]:
    """The workloads of those keys of a job.

    Raises:
        JobFailed: as load_space.
    """
    space = load_space(request.space, request.space_digest, request.requirement)
    batch = request.runtime.batch_size
    labels = labels_of(request)
    networks = [
        Workload(
            key=network.digest,
            label=labels[network.digest],
            build=partial(space.build_network, network),
            input_shapes=((batch, *network.input_shape),),
            is_part=False,
        )
        for network in request.networks
        if network.digest in keys
    ]
    operations = [
        Workload(
            key=operation.digest,
            label=labels[operation.digest],
            build=partial(space.build_operation, operation),
            input_shapes=tuple((batch, *shape) for shape in operation.input_shapes),
            is_part=True,
        )
        for operation in request.operations
        if operation.digest in keys
    ]
    return networks + operations
