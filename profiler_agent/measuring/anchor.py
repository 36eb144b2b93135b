"""The anchor: one network of a space that every job with networks reads between them.

A network drifts as another network does, and not as a matrix product: the ratio of both at the same time holds still
where either latency moves by several percent. So a network's latency is its ratio to the anchor, times the anchor's
latency in the standard state.
"""

from collections.abc import Mapping

from latency_tables.contract import JobRequest, NetworkSpec
from profiler_agent.errors import JobFailed
from profiler_agent.measuring.guard import Say, settings_kept
from profiler_agent.measuring.workload import load_space, say_on_stderr

EVERY = 2
"""The anchor is read before every network of so many."""


def anchor_for(request: JobRequest, known: Mapping[str, NetworkSpec], say: Say = say_on_stderr) -> NetworkSpec | None:
    """The anchor of a job's networks; None for a job of operations.

    The space's own, by its `anchor(network)` for networks of that input, where it has one; else the one in `known`, by
    `kind_of`; else the middle network of the job, by how many operations they execute.

    Raises:
        JobFailed: as load_space, and where the space's `anchor` fails or gives no network of this space.
    """
    if not request.networks:
        return None
    by_size = sorted(request.networks, key=lambda network: (_size(network), network.digest))
    middle = by_size[len(by_size) // 2]
    space = load_space(request.space, request.space_digest, request.requirement, say)
    named = getattr(space, "anchor", None)
    if named is None:
        return known.get(kind_of(middle), middle)
    try:
        with settings_kept(f"asking space {request.space!r} for its anchor", say):
            anchor = NetworkSpec.model_validate(named(middle))
    except Exception as error:  # the space's code is not ours
        raise JobFailed(f"anchor of space {request.space!r}: {type(error).__name__}: {error}") from error
    if kind_of(anchor) != kind_of(middle):
        raise JobFailed(
            f"anchor of space {request.space!r} is a network of {anchor.space!r} for inputs {anchor.input_shape}; "
            f"give one of this definition of the space for {middle.input_shape}"
        )
    return anchor


def kind_of(network: NetworkSpec) -> str:
    """What networks with one anchor have in common: the definition of their space, and their input."""
    return f"{network.space_digest} {'×'.join(map(str, network.input_shape))}"


def name_of(anchor: str) -> str:
    """What the readings of an anchor of this digest are called beside those of the references."""
    return f"anchor-{anchor[:16]}"


def _size(network: NetworkSpec) -> int:
    return sum(item.count for item in network.operations)
