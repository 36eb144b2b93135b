"""Which networks to measure: those that tell most of all the others."""

from collections.abc import Sequence

import numpy as np

from latency_tables.calibration.calibrated import Calibrated
from latency_tables.calibration.directions import gram, kernel
from latency_tables.calibration.estimates import Floats
from latency_tables.calibration.posterior import EXPECTED
from latency_tables.calibration.rows import Rows
from latency_tables.contract import Basis, LatencyTable, NetworkSpec
from latency_tables.latencies import network_us


def most_telling(covariance: Floats, noise: float, count: int, measured: int = 0) -> list[int]:
    """The next `count` networks to measure, best first.

    Greedy: each time the one after whose measurement the sum of the variances of all is least. What a measurement says
    changes nothing of that under Gaussian noise, so that they may be chosen before any is measured.

    Args:
        covariance: of the candidates' relative latencies, followed by that of those that were `measured`.
        noise: variance of a measurement.

    Raises:
        ValueError: fewer candidates than `count`.
    """
    candidates = len(covariance) - measured
    if count > candidates:
        raise ValueError(f"count: {count} of {candidates} candidates; give more candidates")
    for index in range(candidates, len(covariance)):
        covariance = _given(covariance, index, noise)
    covariance = covariance[:candidates, :candidates]
    chosen: list[int] = []
    for _ in range(count):
        told = (covariance**2).sum(axis=0) / (np.diag(covariance) + noise)
        told[chosen] = -1.0
        chosen.append(int(np.argmax(told)))
        covariance = _given(covariance, chosen[-1], noise)
    return chosen


def _given(covariance: Floats, index: int, noise: float) -> Floats:
    """After a measurement of one network."""
    column = covariance[:, index]
    given: Floats = covariance - np.outer(column, column) / (column[index] + noise)
    return given


def choose(table: LatencyTable, candidates: Sequence[NetworkSpec], count: int, basis: Basis) -> list[NetworkSpec]:
    """The `count` networks to measure: spread over the range of latencies and over the kinds of operation.

    The candidates are cut into `count` parts by their sums. From each part the network is taken whose latency is the
    least certain given those taken before (greedy D-optimal design). Raises MissingRows.
    """
    candidates = sorted(candidates, key=lambda network: network_us(table, network, basis))
    parts = [part for part in np.array_split(np.arange(len(candidates)), count) if len(part)]
    covariance = _prior(table, candidates, basis)
    # From the ends of the range to its middle: the middle is then chosen for its kinds of operation.
    order = sorted(range(len(parts)), key=lambda index: -abs(index - (len(parts) - 1) / 2))
    chosen = []
    for index in order:
        taken = int(parts[index][np.argmax(np.diag(covariance)[parts[index]])])
        chosen.append(candidates[taken])
        covariance = _given(covariance, taken, EXPECTED.noise**2)
    return chosen


def choose_next(
    table: LatencyTable, candidates: Sequence[NetworkSpec], count: int, basis: Basis, calibrated: Calibrated | None
) -> list[NetworkSpec]:
    """The `count` networks that tell most of all candidates, given what was measured. Raises MissingRows."""
    if calibrated is None:
        indices = most_telling(_prior(table, candidates, basis), EXPECTED.noise**2, count)
    else:
        covariance, noise = calibrated.uncertainty(candidates)
        indices = most_telling(covariance, noise, count)
    return [candidates[index] for index in indices]


def _prior(table: LatencyTable, candidates: Sequence[NetworkSpec], basis: Basis) -> Floats:
    """The covariance of the candidates' relative latencies before anything was measured."""
    unit_us = float(np.mean([network_us(table, network, basis) for network in candidates]))
    networks = Rows(table, basis, unit_us, np.zeros((0, len(table.rows)))).of(candidates)
    return kernel(EXPECTED, gram(networks, networks))
