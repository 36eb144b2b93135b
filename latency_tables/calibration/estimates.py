"""Measured and predicted latencies of networks."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from latency_tables.contract import Basis, Measurement, NetworkSpec
from latency_tables.latencies import latency_us, std_rel

Floats = npt.NDArray[np.float64]

Z90 = 1.6449
"""Standard deviations from the middle of a Gaussian to either end of its 90 % interval."""

MEAN_ERROR = math.sqrt(2 / math.pi)
"""Of a Gaussian: its mean distance from the middle, in standard deviations."""

LEAST_SHARE = 0.01
"""Lower bound of a coefficient, so that latencies are positive."""


class TimedNetwork(NamedTuple):
    """A network and its end-to-end latency in microseconds.

    `std_rel`: standard deviation of the measurement, relative; None where it is not known.
    """

    network: NetworkSpec
    measured_us: float
    std_rel: float | None = None

    @classmethod
    def of(cls, network: NetworkSpec, measurement: Measurement, basis: Basis) -> "TimedNetwork":
        return cls(network, latency_us(measurement, basis), std_rel(measurement, basis))


class Estimate(NamedTuple):
    """A predicted latency with its 90 % predictive interval, in microseconds."""

    latency_us: float
    low_us: float
    high_us: float


class Gaussian(NamedTuple):
    """A posterior's mean and standard deviation."""

    mean: float
    std: float
