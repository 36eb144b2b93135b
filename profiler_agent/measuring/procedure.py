"""How this version measures: one name for the procedure, and its parameters per kind of device."""

from dataclasses import dataclass

from latency_tables.contract import Effort
from profiler_agent.measuring.policy import StoppingRule

METHOD_VERSION = "warm-10"
"""Steady state, warm caches, interleaved, on a CPU in forked processes; networks beside an anchor; operations of ONNX
Runtime (on a CPU) and OpenVINO as they stand between convolutions.

Whoever changes what is timed, or how, changes this name.
"""

PROCESSES = 3
"""On a CPU the rounds take turns over so many processes: pages land differently in each."""

NETWORK_PROCESSES = 2
"""The same where networks are measured: what one process does to single operations averages out in a network."""

READINGS_PER_BLOCK = 4
"""A reference's reading is so much shorter than a block: there are many of them."""


@dataclass(frozen=True)
class Caps:
    """What a device kind asks for by default; `max_s` is wall time a workload, shared by all of a job.

    `target_rel` ends the measuring of a workload, by its blocks; `doubt_rel` is how wide (±) the interval of what is
    served may be before the latency is called doubtful. `first_look`: blocks after which it is asked for the first time
    whether a workload converged.
    """

    target_rel: float
    doubt_rel: float
    band_rel: float
    max_blocks: int
    max_s: float
    first_look: int = 0


# 95 operations of LGCNet end in under three minutes on two CPU cores and in under one on a GPU.
OPERATIONS = {
    "cpu": Caps(target_rel=0.02, doubt_rel=0.05, band_rel=0.15, max_blocks=210, max_s=1.6, first_look=36),
    "cuda": Caps(target_rel=0.01, doubt_rel=0.02, band_rel=0.10, max_blocks=400, max_s=0.5),
}
# Predictions are compared with networks, so a network's own noise must be small beside an operation's.
NETWORKS = {
    "cpu": Caps(target_rel=0.01, doubt_rel=0.02, band_rel=0.15, max_blocks=210, max_s=30.0),
    "cuda": Caps(target_rel=0.005, doubt_rel=0.01, band_rel=0.10, max_blocks=662, max_s=10.0),
}
NETWORK_MIN_BLOCKS = 18

OPERATION_ESTIMATE = {"quantile": 0.05, "floor_rel": 0.01}
"""Disturbances only add to a latency, they come and go, and references do not show all of them: a low quantile."""

NETWORK_ESTIMATE = {"quantile": 0.5, "floor_rel": 0.003}
"""An anchor is disturbed as a network is: once the common state is taken out, the median holds still best."""


def rule_for(effort: Effort, kind: str, *, is_network: bool, keys: int) -> StoppingRule:
    """The stopping rule of a job of so many keys: its effort, within the caps of the device kind."""
    caps = (NETWORKS if is_network else OPERATIONS)[kind]
    min_blocks = effort.min_blocks
    if is_network and effort.budget_s is None:
        min_blocks = max(min_blocks, NETWORK_MIN_BLOCKS)
    return StoppingRule(
        target_rel=effort.target_rel or caps.target_rel,
        min_blocks=min_blocks,
        max_blocks=max(caps.max_blocks, min_blocks),
        max_rejected=min_blocks,
        band_rel=caps.band_rel,
        first_look=caps.first_look if effort.target_rel is None else 0,
        budget_s=effort.budget_s or caps.max_s * keys,
        frugal=effort.budget_s is not None,
    )


def doubt_rel(effort: Effort, kind: str, *, is_network: bool) -> float:
    """How wide (±) the interval of a latency may be before it is doubtful."""
    return effort.target_rel or (NETWORKS if is_network else OPERATIONS)[kind].doubt_rel
