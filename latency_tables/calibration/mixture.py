"""Mixtures of Gaussians: what a grid of settings says together."""

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from latency_tables.calibration.estimates import MEAN_ERROR, Floats

_TAIL = 0.05
"""Of the probability, beyond either end of a 90 % interval."""
_HALVINGS = 24
_LEAST_VARIANCE = 1e-30


class Predicted(NamedTuple):
    """Of each network the mean, the standard deviation, and the ends of the 90 % interval.

    A twentieth of the probability is below the interval, a twentieth above. Where the scatter is not known, as from few
    networks, the mixture has the tails that a quantile of Student's t is otherwise taken for.
    """

    mean: Floats
    std: Floats
    low: Floats
    high: Floats


class Mixture:
    """A mixture for each of several networks.

    Args:
        means, variances, weights: components × networks (weights may be components × 1); the weights sum to 1.
    """

    def __init__(self, means: Floats, variances: Floats, weights: Floats) -> None:
        self._means, self._variances, self._weights = means, variances, weights

    @cached_property
    def mean(self) -> Floats:
        return np.asarray((self._weights * self._means).sum(axis=0))

    @cached_property
    def std(self) -> Floats:
        squares = self._variances + (self._means - self.mean) ** 2
        return np.asarray(np.sqrt((self._weights * squares).sum(axis=0)))

    @cached_property
    def mean_error(self) -> Floats:
        """The mean distance of a value from the mixture's mean."""
        off, stds = np.abs(self._means - self.mean), np.sqrt(np.maximum(self._variances, _LEAST_VARIANCE))
        far = off / stds
        errors = stds * MEAN_ERROR * np.exp(-0.5 * far**2) + off * (2 * _normal_cdf(far) - 1)
        return np.asarray((self._weights * errors).sum(axis=0))

    def predicted(self) -> Predicted:
        return Predicted(self.mean, self.std, self._quantile(_TAIL), self._quantile(1 - _TAIL))

    def _quantile(self, share: float) -> Floats:
        # No share from 5 to 95 % is farther from the mean than that (Cantelli).
        low, high = self.mean - 5 * self.std, self.mean + 5 * self.std
        stds = np.sqrt(np.maximum(self._variances, _LEAST_VARIANCE))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = (self._weights * _normal_cdf((middle - self._means) / stds)).sum(axis=0) < share
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray((low + high) / 2)


def _normal_cdf(z: Floats) -> Floats:
    """Within 0.0002."""
    return np.asarray(0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))))
