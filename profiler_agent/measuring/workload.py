"""From a job to what is executed: search spaces found through entry points, specs built into modules."""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast

import torch

from latency_tables.contract import JobRequest, NetworkSpec, OperationSpec
from latency_tables.plain_text import plain
from profiler_agent.errors import JobFailed
from profiler_agent.measuring.guard import Say, SettingsChanged, settings_kept
from profiler_agent.measuring.reasons import reason_of

ENTRY_POINT_GROUP = "profiler_agent.spaces"
SPACE_MEMBERS = ("digest", "build_operation", "build_network")
"""What is used of a space here; its name and requirement are in the job."""


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

    # A space may also have `anchor(network: NetworkSpec) -> NetworkSpec`: see anchor.py.


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


def installed_spaces() -> dict[str, list[EntryPoint]]:
    """The search spaces installed here by name, not loaded yet; several distributions may have one of a name."""
    spaces: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        spaces.setdefault(entry.name, []).append(entry)
    return spaces


def say_on_stderr(line: str) -> None:
    """To whoever reads the agent's log."""
    print(plain(line), file=sys.stderr, flush=True)


def load_space(name: str, digest: str, requirement: str, say: Say = say_on_stderr) -> SearchSpace:
    """The installed space of this name and exactly these operation definitions.

    What its import changed in this process is put back, and `say` hears of it.

    Raises:
        JobFailed: it is not installed, does not load, is no search space, or defines its operations differently; it
            says what to install.
    """
    installed = installed_spaces()
    if name not in installed:
        names = ", ".join(sorted(installed)) or "none"
        raise JobFailed(
            f"space {name!r} is not installed on this agent (installed: {names}); install it there: "
            f"pip install '{requirement}'"
        )
    failures, digests = [], []
    for entry in installed[name]:
        try:
            with settings_kept(f"importing space {name!r}", say):
                space, its_digest = _loaded(entry)
        except SettingsChanged:
            raise
        except (Exception, SystemExit) as error:  # the space's code is not ours
            failures.append(f"{_source(entry)}: {reason_of(error)}")
            continue
        if its_digest == digest:
            return space
        digests.append(f"{_source(entry)} has {its_digest[:12]}…")
    raise JobFailed(_why_none(name, digest, requirement, failures, digests))


def _loaded(entry: EntryPoint) -> tuple[SearchSpace, str]:
    """A space and its digest. Raises ValueError if it lacks something, and whatever its code raises."""
    space = entry.load()
    missing = [member for member in SPACE_MEMBERS if not hasattr(space, member)]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}; see docs/search-spaces.md")
    digest = space.digest
    if not isinstance(digest, str):
        raise ValueError(f"digest: {digest!r} is {type(digest).__name__}; give a string, see docs/search-spaces.md")
    return cast(SearchSpace, space), digest


def _why_none(name: str, digest: str, requirement: str, failures: Sequence[str], digests: Sequence[str]) -> str:
    """Why none of the installed spaces of a name is the job's."""
    if not digests:
        return (
            f"space {name!r} does not load ({'; '.join(failures)}); mend it, or install it whole: "
            f"pip install '{requirement}'"
        )
    several = "" if len(failures) + len(digests) == 1 else f"; {len(failures) + len(digests)} distributions have it"
    broken = f"; of those {'; '.join(failures)}" if failures else ""
    return (
        f"space {name!r} of the job has digest {digest[:12]}…, on this agent {', '.join(digests)}{several}{broken}: "
        "its operations are defined differently; install the job's version on the agent: "
        f"pip install --upgrade '{requirement}'"
    )


def _source(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def labels_of(request: JobRequest) -> dict[str, str]:
    """The names of a job's keys for people."""
    operations = {operation.digest: str(operation) for operation in request.operations}
    return operations | {network.digest: f"network {network.digest[:12]}" for network in request.networks}


def workloads_of(
    request: JobRequest, keys: Collection[str], say: Say = say_on_stderr, anchor: NetworkSpec | None = None
) -> list[Workload]:
    """The workloads of those keys of a job, and of its anchor; `say` as for load_space.

    Raises:
        JobFailed: as load_space.
    """
    space = load_space(request.space, request.space_digest, request.requirement, say)
    batch = request.runtime.batch_size
    labels = labels_of(request)
    specs = {network.digest: network for network in request.networks if network.digest in keys}
    if anchor is not None:
        specs.setdefault(anchor.digest, anchor)
    networks = [
        Workload(
            key=network.digest,
            label=labels.get(network.digest, f"anchor network {network.digest[:12]}"),
            build=partial(space.build_network, network),
            input_shapes=((batch, *network.input_shape),),
            is_part=False,
        )
        for network in specs.values()
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
