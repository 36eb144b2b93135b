"""Which networks to measure on a new device: those that tell most of all the others."""

import numpy as np

from latency_tables.transfer.features import Floats
from latency_tables.transfer.prior import DESIGN, Prior, gram, kernel


def choose(prior: Prior, candidates: Floats, count: int, measured: Floats | None = None) -> list[int]:
    """The next `count` candidates to measure, best first, given those that are `measured` (counts of networks).

    Greedy: each time the network after whose measurement the others' latencies are the least uncertain in sum, by the
    prior. The outcome of a measurement changes nothing of that, so the networks may be chosen before any is measured.

    Raises:
        ValueError: fewer candidates than `count`.
    """
    if count > len(candidates):
        raise ValueError(f"count: {count} of {len(candidates)} candidates; give more candidates")
    taken = np.zeros((0, candidates.shape[1])) if measured is None else measured
    networks = prior.of(np.vstack([candidates, taken]))
    covariance = kernel(DESIGN, gram(networks, networks))
    for index in range(len(candidates), len(covariance)):
        covariance = _given(covariance, index)
    chosen: list[int] = []
    for _ in range(count):
        told = (covariance[: len(candidates)] ** 2).sum(axis=0) / (np.diag(covariance) + DESIGN.noise**2)
        told = told[: len(candidates)]
        told[chosen] = -1.0
        chosen.append(int(np.argmax(told)))
        covariance = _given(covariance, chosen[-1])
    return chosen


def _given(covariance: Floats, index: int) -> Floats:
    """After a measurement of one network."""
    column = covariance[:, index]
    given: Floats = covariance - np.outer(column, column) / (column[index] + DESIGN.noise**2)
    return given
