"""Which networks to measure on a new device: those that tell most of all the others."""

import numpy as np

from latency_tables.calibration.design import most_telling
from latency_tables.calibration.directions import gram, kernel
from latency_tables.calibration.estimates import Floats
from latency_tables.transfer.prior import DESIGN, Prior


def choose(prior: Prior, candidates: Floats, count: int, measured: Floats | None = None) -> list[int]:
    """The next `count` candidates to measure by the prior, best first, given those `measured` (counts of networks).

    Raises:
        ValueError: fewer candidates than `count`.
    """
    taken = np.zeros((0, candidates.shape[1])) if measured is None else measured
    networks = prior.of(np.vstack([candidates, taken]))
    return most_telling(kernel(DESIGN, gram(networks, networks)), DESIGN.noise**2, count, len(taken))
