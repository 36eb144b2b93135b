"""Latencies at the machine's standard state, from a trace: the drift that the references saw is taken out.

A block of workload k in round t is modelled as log y = a + x_t · b + e, where x_t are the references' logarithms
relative to their standard readings, smoothed over neighbouring rounds since a single reading is noisy itself. The
sensitivities b come from the workload's own blocks, drawn towards what all workloads of the run have in common; exp(a)
is the latency at the standard state. The fit is a robust one (Huber), so one disturbed block does not turn it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from profiler_agent.trace import Floats, Trace

STANDARD_QUANTILE = 0.25
"""The standard state is a quiet one, but none that is met only once."""

HUBER = 1.5


@dataclass(frozen=True)
class Estimator:
    """What the estimate is made of; chosen on recorded traces of a shared machine.

    `smooth_rounds`: references are averaged (median) over so many rounds. `prior_scatter`: standard deviation of a
    workload's sensitivity around the common one; 0 takes the common one, infinity its own fit. `max_step`: how far, in
    logarithms, a reference may be from its standard before it is not followed any more.
    """

    smooth_rounds: int = 5
    prior_scatter: float = 0.3
    max_step: float = 0.5


def standard_of(trace: Trace, quantile: float = STANDARD_QUANTILE) -> dict[str, float]:
    """A low quantile of each reference's readings, in microseconds: the state that others are compared with."""
    first = len(trace.keys)
    return {
        name: float(np.quantile(trace.latency_us[trace.name == first + number], quantile))
        for number, name in enumerate(trace.reference_names)
    }


def estimate(
    trace: Trace, standard: Mapping[str, float] | None = None, estimator: Estimator | None = None
) -> dict[str, float]:
    """Microseconds of every key with a kept block, as it would be with each reference at its `standard` reading.

    Without `standard` the run's own is taken. A workload whose blocks are too few to fit (fewer than one more than
    there are references) gets the common sensitivities.
    """
    estimator = estimator or Estimator()
    standard = standard_of(trace) if standard is None else standard
    state = _states(trace, standard, estimator)
    logs, states = {}, {}
    for number, key in enumerate(trace.keys):
        mine = (trace.name == number) & trace.kept
        if mine.any():
            logs[key] = np.log(trace.latency_us[mine])
            states[key] = state[trace.round[mine]]
    own = {key: _fit(logs[key], states[key], np.zeros(state.shape[1]), np.inf) for key in logs}
    common, noise = _common(own, logs, states)
    found = {}
    for key in logs:
        fit = _fit(logs[key], states[key], common, estimator.prior_scatter, noise)
        found[key] = float(np.exp(fit[0]))
    return found


def _states(trace: Trace, standard: Mapping[str, float], estimator: Estimator) -> Floats:
    """Of each round (first axis) the references' smoothed log-deviation from the standard (second axis)."""
    rounds = int(trace.round.max()) + 1 if len(trace.round) else 0
    states = np.zeros((rounds, trace.references))
    for number, name in enumerate(trace.reference_names):
        taken = trace.name == len(trace.keys) + number
        readings = np.full(rounds, np.nan)
        readings[trace.round[taken]] = np.log(trace.latency_us[taken] / standard[name])
        reach = estimator.smooth_rounds // 2
        for place in range(rounds):
            near = readings[max(0, place - reach) : place + reach + 1]
            states[place, number] = np.nanmedian(near) if not np.isnan(near).all() else 0.0
    return np.clip(states, -estimator.max_step, estimator.max_step)


def _common(
    own: Mapping[str, Floats], logs: Mapping[str, Floats], states: Mapping[str, Floats]
) -> tuple[Floats, float]:
    """The median of the workloads' sensitivities, and the typical standard deviation of a block's logarithm."""
    enough = [key for key in own if len(logs[key]) > states[key].shape[1] + 1]
    noise = [_spread(logs[key] - own[key][0] - states[key] @ own[key][1:]) for key in enough]
    if not enough:
        width = next(iter(states.values())).shape[1] if states else 0
        return np.zeros(width), 0.01
    middle = np.median([own[key][1:] for key in enough], axis=0)
    return np.clip(middle, 0.0, 1.0), max(float(np.median(noise)), 1e-4)


def _fit(logs: Floats, states: Floats, prior: Floats, scatter: float, noise: float = 0.01) -> Floats:
    """Intercept and sensitivities: robust ridge towards `prior`, by reweighted least squares."""
    count, width = states.shape
    if scatter == 0 or (np.isinf(scatter) and count <= width + 1):
        return np.concatenate([[np.median(logs - states @ prior)], prior])
    design = np.hstack([np.ones((count, 1)), states])
    penalty = np.zeros(width + 1)
    # Without a prior a trace of ridge remains: references that do not move say nothing about sensitivities.
    penalty[1:] = (noise / min(scatter, 1.0)) ** 2
    centre = np.concatenate([[0.0], prior])
    weights = np.ones(count)
    found = centre
    for _ in range(20):
        weighted = design * weights[:, None]
        left = design.T @ weighted + np.diag(penalty)
        found = np.linalg.solve(left, weighted.T @ logs + penalty * centre)
        residuals = logs - design @ found
        limit = HUBER * max(_spread(residuals), 1e-9)
        weights = np.minimum(1.0, limit / np.maximum(np.abs(residuals), 1e-12))
    return np.asarray(found, dtype=np.float64)


def _spread(values: Floats) -> float:
    """A robust standard deviation: the scaled median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
