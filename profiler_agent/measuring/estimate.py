"""Latencies at the machine's standard state, from a trace.

Disturbances only add to a latency, and they come and go: a workload's latency is a low quantile of its blocks. A state
that lasts for a whole table is taken out of every block before, as the references show it: a block at time t is
y · exp(-x(t) · b), where x are the references' logarithms relative to their standard readings, smoothed over time
since a single reading is noisy itself, and b is how much of that an operation shows.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from profiler_agent.measuring.trace import Flags, Floats, Integers, Trace

LATENCY_QUANTILE = 0.05
"""The quantile of a workload's blocks. Chosen on recorded tables of a shared machine, as are the sensitivities and
SMOOTH_S."""

STANDARD_QUANTILE = 0.25
"""The quantile of a reference's readings: a low quantile, not the minimum: the standard state must occur repeatedly."""

SMOOTH_S = 1.5
"""Standard deviation of the Gaussian that readings are averaged with: neighbours come and go within seconds."""

MAX_STEP = 0.4
"""How far, in logarithms, a reading may be from the reference's median before it is not followed any more."""

_GRID_S = SMOOTH_S / 3


class Normalized(NamedTuple):
    """A workload in the standard state: its latency, and its blocks, in microseconds."""

    latency_us: float
    blocks_us: tuple[float, ...]


def standard_of(trace: Trace) -> dict[str, float]:
    """A low quantile of each reference's readings, in microseconds: the state that others are compared with."""
    first = len(trace.keys)
    return {
        name: float(np.quantile(trace.latency_us[trace.name == first + number], STANDARD_QUANTILE))
        for number, name in enumerate(trace.reference_names)
    }


def normalize(
    trace: Trace,
    standard: Mapping[str, float],
    sensitivities: Mapping[str, float],
    keys: Collection[str] | None = None,
) -> dict[str, Normalized]:
    """The workloads with a kept block (all, or those in `keys`) as they are with every reference at its `standard`.

    `sensitivities` has the references that are followed, and how much of their change, in logarithms, a workload shows.
    """
    numbers = [number for number, key in enumerate(trace.keys) if keys is None or key in keys]
    kept = trace.kept & np.isin(trace.name, numbers)
    at_s = trace.at_s[kept]
    shift = sum((share * _state(trace, name, standard[name], at_s) for name, share in sensitivities.items()), 0 * at_s)
    names, blocks_us = trace.name[kept], trace.latency_us[kept] * np.exp(-shift)
    normalized = {}
    for number in numbers:
        mine = blocks_us[names == number]
        if len(mine):
            latency_us = float(np.quantile(mine, LATENCY_QUANTILE))
            normalized[trace.keys[number]] = Normalized(latency_us, tuple(mine.tolist()))
    return normalized


def _state(trace: Trace, name: str, standard_us: float, at_s: Floats) -> Floats:
    """A reference's smoothed log-deviation from its standard reading at those times."""
    is_mine: Flags = trace.name == trace.names.index(name)
    readings = np.log(trace.latency_us[is_mine] / standard_us)
    middle = np.median(readings)
    readings = np.clip(readings, middle - MAX_STEP, middle + MAX_STEP)
    cell: Integers = np.round(trace.at_s[is_mine] / _GRID_S).astype(np.int64)
    grid = int(max(trace.at_s.max() / _GRID_S, cell.max())) + 2
    reach = int(4 * SMOOTH_S / _GRID_S)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _GRID_S / SMOOTH_S) ** 2)
    sums = np.convolve(np.bincount(cell, readings, grid), kernel)[reach:-reach]
    weights = np.convolve(np.bincount(cell, minlength=grid), kernel)[reach:-reach]
    near = np.flatnonzero(weights > 1e-3)
    return np.interp(at_s, near * _GRID_S, sums[near] / weights[near])
