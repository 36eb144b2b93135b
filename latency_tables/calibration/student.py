"""Gaussian posteriors under Gaussian and under Student's t noise, for many settings of their prior at once.

Under Student's t the noise of network i has the variance σ²/λ_i with λ_i ~ Gamma(ν/2, ν/2), so that an outlier weighs
little. The λ are found by variational inference (Tipping and Lawrence, 2005), and their bound on the evidence weighs
the settings.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from latency_tables.calibration.estimates import Floats

NU = 3.0
"""Degrees of freedom: the tails of phones that throttle in bursts."""
ROUNDS = 6
_POSTERIOR, _PRIOR = (NU + 1) / 2, NU / 2
_DIGAMMA = 1 - 0.5772156649015329
"""ψ of `_POSTERIOR` = 2."""


class Nodes(NamedTuple):
    """Variances, relative to σ², with the probabilities of a mixture of Gaussians that stands for the noise."""

    variances: Floats
    probabilities: Floats


def _nodes(edges: Sequence[float]) -> Nodes:
    """Of the parts that these edges cut the distribution of λ into: its probability, and 1/λ in its middle."""
    below = np.array([0.0, *map(_cdf, edges), 1.0])
    middles = [edges[0] / 3, *(math.sqrt(low * high) for low, high in itertools.pairwise(edges)), 1.3 * edges[-1]]
    return Nodes(1 / np.array(middles), np.diff(below))


def _cdf(precision: float) -> float:
    """The probability of a smaller λ, for ν = 3 (χ² with three degrees of freedom, over 3)."""
    x = NU * precision
    return math.erf(math.sqrt(x / 2)) - math.sqrt(2 * x / math.pi) * math.exp(-x / 2)


GAUSSIAN = Nodes(np.ones(1), np.ones(1))
STUDENT = _nodes((1e-4, 1e-3, 0.01, 0.1, 0.3, 0.7, 1.3, 2.5))
"""Down to outliers of a hundred σ."""


class Fits(NamedTuple):
    """Of each setting: K⁻¹e (settings × networks), K⁻¹ with the noise in it, the log evidence, and the noise's variance
    for each network.
    """

    weights: Floats
    inverse: Floats
    evidence: Floats
    variance: Floats


def fit_gaussian(kernels: Floats, noise: Floats, excess: Floats) -> Fits:
    """As `fit`, under Gaussian noise."""
    variance = np.repeat((noise**2)[:, None], len(excess), axis=1)
    covariance = kernels + variance[:, :, None] * np.eye(len(excess))
    inverse = np.asarray(np.linalg.inv(covariance), np.float64)
    weights = inverse @ excess
    _, logdet = np.linalg.slogdet(covariance)
    return Fits(weights, inverse, -0.5 * (weights @ excess) - 0.5 * logdet, variance)


def fit(kernels: Floats, noise: Floats, excess: Floats) -> Fits:
    """The posterior given `excess` (networks).

    Args:
        kernels: prior covariances, settings × networks × networks.
        noise: scale of the noise of each setting.

    Raises:
        numpy.linalg.LinAlgError: a kernel is singular.
    """
    size = len(excess)
    precision = np.ones((len(kernels), size))
    scale2 = (noise**2)[:, None]
    bonus = np.zeros(len(kernels))
    for turn in range(ROUNDS):
        variance = scale2 / precision
        covariance = kernels + variance[:, :, None] * np.eye(size)
        inverse = np.asarray(np.linalg.inv(covariance), np.float64)
        weights = inverse @ excess
        if turn == ROUNDS - 1:
            break
        uncertain = np.maximum(variance - variance**2 * np.diagonal(inverse, axis1=1, axis2=2), 0)
        rate = (NU + ((variance * weights) ** 2 + uncertain) / scale2) / 2
        precision = _POSTERIOR / rate
        bonus = (0.5 * (_DIGAMMA - np.log(rate)) - 0.5 * np.log(precision) - _divergence(rate)).sum(axis=1)
    _, logdet = np.linalg.slogdet(covariance)
    return Fits(weights, inverse, -0.5 * (weights @ excess) - 0.5 * logdet + bonus, variance)


def _divergence(rate: Floats) -> Floats:
    """Of Gamma(`_POSTERIOR`, rate) from Gamma(`_PRIOR`, `_PRIOR`)."""
    return np.asarray(
        (_POSTERIOR - _PRIOR) * _DIGAMMA
        - math.lgamma(_POSTERIOR)
        + math.lgamma(_PRIOR)
        + _PRIOR * (np.log(rate) - math.log(_PRIOR))
        + _POSTERIOR * (_PRIOR - rate) / rate
    )
