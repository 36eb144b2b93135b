"""Gaussian posteriors under Student's t noise, for many settings of their prior at once.

The noise of network i has the variance σ²/λ_i with λ_i ~ Gamma(ν/2, ν/2), so that an outlier weighs little. The λ are
found by variational inference (Tipping and Lawrence, 2005), and their bound on the evidence weighs the settings.
"""

import math
from typing import NamedTuple

import numpy as np

from latency_tables.transfer.features import Floats

NU = 3.0
"""Degrees of freedom: the tails of phones that throttle in bursts."""
ROUNDS = 6
_POSTERIOR, _PRIOR = (NU + 1) / 2, NU / 2
_DIGAMMA = 1 - 0.5772156649015329
"""ψ of `_POSTERIOR` = 2."""


class Fits(NamedTuple):
    """Of each setting: K⁻¹e (settings × networks), K⁻¹ with the noise in it, and the log evidence."""

    weights: Floats
    inverse: Floats
    evidence: Floats


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
    return Fits(weights, inverse, -0.5 * (weights @ excess) - 0.5 * logdet + bonus)


def _divergence(rate: Floats) -> Floats:
    """Of Gamma(`_POSTERIOR`, rate) from Gamma(`_PRIOR`, `_PRIOR`)."""
    return np.asarray(
        (_POSTERIOR - _PRIOR) * _DIGAMMA
        - math.lgamma(_POSTERIOR)
        + math.lgamma(_PRIOR)
        + _PRIOR * (np.log(rate) - math.log(_PRIOR))
        + _POSTERIOR * (_PRIOR - rate) / rate
    )
