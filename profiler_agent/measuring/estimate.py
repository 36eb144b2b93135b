"""Latencies at the machine's standard state with their intervals, from a trace.

One model from block to interval: a block is operation × state(t) × noise, in logarithms a sum. The state is seen
through what is read again and again: references beside operations, the anchor beside networks. It is taken out of
every block; what the blocks of a process then say of a workload is one number, and how these numbers differ is how
sure one can be: pages land differently in each process, and an operation keeps a latency of its own there, however
often it is measured.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from latency_tables.statistics import student_quantile
from profiler_agent.measuring.trace import Flags, Floats, Integers, Trace

STANDARD_QUANTILE = 0.25
"""The quantile of a reference's readings: a low quantile, not the minimum: the standard state must occur repeatedly."""

SMOOTH_S = 1.5
"""Standard deviation of the Gaussian that readings are averaged with: neighbours come and go within seconds."""

MAX_STEP = 0.4
"""How far, in logarithms, a reading may be from the reference's median before it is not followed any more."""

FASTER_REL = 0.05
"""An anchor that is read so much faster than its standard reading has a new one: the old was of a louder moment."""

CONFIDENCE = 0.95
"""Of the intervals, as of a median's."""

SEGMENTS = 4
"""Where one process measures all, the rounds in order count as so many processes."""

POOLED_DEGREES = 6
"""Degrees of freedom that the spread usual in the job counts for, beside a workload's own: three processes say little
of how far they scatter."""

_GRID_S = SMOOTH_S / 3


class Normalized(NamedTuple):
    """A workload's latency in the standard state and its interval, in microseconds."""

    latency_us: float
    low_us: float
    high_us: float

    @property
    def half_width_rel(self) -> float:
        return (self.high_us - self.low_us) / 2 / self.latency_us


@dataclass(frozen=True)
class Follow:
    """What shows the machine's state, and which block is the workload's once the state is taken out.

    `sensitivities`: how much of a reference's change, in logarithms, a workload shows. `quantile`: of the blocks of a
    process. `floor_rel`: the standard deviation of what a whole job shares and no block of it shows.
    """

    sensitivities: Mapping[str, float]
    quantile: float
    floor_rel: float


def standard_of(trace: Trace) -> dict[str, float]:
    """A low quantile of each reference's readings, in microseconds: the state that others are compared with."""
    first = len(trace.keys)
    return {
        name: float(np.quantile(trace.latency_us[trace.name == first + number], STANDARD_QUANTILE))
        for number, name in enumerate(trace.reference_names)
    }


def learned(standard: Mapping[str, float], trace: Trace, follow: Follow) -> dict[str, float]:
    """The standard state after what a job has read so far: what it is the first to read, and what it reads much faster.

    Much faster counts of what is followed in full, the anchor: a product of matrices shows little of what slows
    networks down. Any other reading stays as it is, so that every job is compared with one state.
    """
    now = standard_of(trace)
    faster = {
        name: now[name]
        for name, share in follow.sensitivities.items()
        if share == 1 and name in standard and now[name] < (1 - FASTER_REL) * standard[name]
    }
    return {**now, **standard, **faster}


def normalize(
    trace: Trace, standard: Mapping[str, float], follow: Follow, keys: Collection[str] | None = None
) -> dict[str, Normalized]:
    """The workloads with a kept block (all, or those in `keys`) as they are with every reference at its `standard`.

    The spread that is usual in the job is of all workloads that have blocks so far, whichever are asked for.
    """
    estimates = _estimates(trace, standard, follow)
    usual = _usual_variance([estimate.by_unit for estimate in estimates.values()])
    normalized = {}
    for key, (middle, values) in estimates.items():
        if keys is None or key in keys:
            degrees = len(values) - 1
            own = float(np.var(values, ddof=1)) if degrees else 0.0
            variance = (POOLED_DEGREES * usual + degrees * own) / (POOLED_DEGREES + degrees)
            spread = math.sqrt(variance / len(values) + follow.floor_rel**2)
            half = student_quantile((1 + CONFIDENCE) / 2, POOLED_DEGREES + degrees) * spread
            normalized[key] = Normalized(*(math.exp(middle + shift) for shift in (0.0, -half, half)))
    return normalized


class _Estimate(NamedTuple):
    """A workload's log-latency by all its blocks, and by those of every process, or every segment of the only one."""

    middle: float
    by_unit: Floats


def _estimates(trace: Trace, standard: Mapping[str, float], follow: Follow) -> dict[str, _Estimate]:
    """Of each key with a kept block."""
    kept = trace.kept & (trace.name < len(trace.keys))
    names, at_s = trace.name[kept], trace.at_s[kept]
    shift = sum(
        (share * _state(trace, name, standard[name], at_s) for name, share in follow.sensitivities.items()), 0 * at_s
    )
    values = np.log(trace.latency_us[kept]) - shift
    units = trace.process[kept]
    if not trace.process.any():
        units = trace.round[kept] * SEGMENTS // (int(trace.round.max()) + 1)
    estimates = {}
    for number, key in enumerate(trace.keys):
        mine = names == number
        if mine.any():
            parts = [values[mine & (units == unit)] for unit in np.unique(units[mine])]
            by_unit = np.array([np.quantile(part, follow.quantile) for part in parts])
            estimates[key] = _Estimate(float(np.quantile(values[mine], follow.quantile)), by_unit)
    return estimates


def _usual_variance(spreads: Collection[Floats]) -> float:
    """The variance between units that is usual: the median over the workloads that have several.

    A variance of few degrees of freedom is most often too small, by what Wilson and Hilferty's median says.
    """
    variances = [
        float(np.var(values, ddof=1)) / (1 - 2 / (9 * (len(values) - 1))) ** 3 for values in spreads if len(values) > 1
    ]
    return float(np.median(variances)) if variances else 0.0


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
