"""A device that has measured a few networks: predictions of all others, and what it is like.

Several priors, each with a grid of settings, are fitted to the measured networks: around the mean of all sources,
around physics alone, around each source. Their evidence weighs them, and the prediction is the mixture's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from latency_tables.calibration.directions import Directions, Grid, gram, kernels
from latency_tables.calibration.estimates import LEAST_SHARE, Z90, Estimate, Floats
from latency_tables.calibration.student import Fits, fit
from latency_tables.transfer.features import Features
from latency_tables.transfer.prior import ALL, BLOCKS, ONE_DEVICE, PHYSICS, Prior

MIN_NETWORKS = 3
"""The least number of measured networks that anything is predicted from."""
_LEAST_LIKELY = 1e-3
"""Settings whose share of the evidence is smaller are left out."""


Alike = int | Literal["sources", "none"]
"""What a device is like: one source (its index), a mixture of the sources, or none of them: its work alone counts."""


class Likeness(NamedTuple):
    """How much of the evidence says so."""

    alike: Alike
    share: float


class Moments(NamedTuple):
    """Means and standard deviations in microseconds."""

    mean_us: Floats
    std_us: Floats


class Components:
    """The priors that the sources teach. Costs are relative: sources × columns."""

    def __init__(self, features: Features, costs: Floats) -> None:
        self.features = features
        self.main = Prior(features, costs.mean(axis=0), costs)
        self.priors: list[tuple[Prior, Grid, Alike]] = [(self.main, ALL, "sources")]
        if len(features.physical):
            self.priors.append((Prior(features, features.physical.mean(axis=0), costs), PHYSICS, "none"))
        if len(costs) > 1:
            fewer = ONE_DEVICE._replace(log_prior=ONE_DEVICE.log_prior - np.log(len(costs)))
            self.priors += [(Prior(features, one, costs), fewer, number) for number, one in enumerate(costs)]


@dataclass(frozen=True)
class _Component:
    """A prior, fitted. `weights`: of each setting, in the whole mixture; `scale_us`: of a relative latency of 1."""

    prior: Prior
    grid: Grid
    alike: Alike
    scale_us: float
    measured: Directions
    fits: Fits
    weights: Floats


class NewDevice:
    """The posterior over a device's networks, given some of them.

    Args:
        components: what the sources teach.
        counts: measured networks × columns.
        measured_us: their latencies in microseconds.

    Raises:
        ValueError: fewer than MIN_NETWORKS networks.
        numpy.linalg.LinAlgError: the latencies are too far apart to compute with.
    """

    def __init__(self, components: Components, counts: Floats, measured_us: Floats) -> None:
        if len(counts) < MIN_NETWORKS:
            raise ValueError(f"counts: {len(counts)} networks; a new device takes at least {MIN_NETWORKS}")
        self._all, self._counts, self._measured_us = components, counts, measured_us
        fitted = [_fitted(prior, grid, alike, counts, measured_us) for prior, grid, alike in components.priors]
        top = max(float(logs.max()) for _, logs in fitted)
        likelihoods = [np.exp(logs - top) for _, logs in fitted]
        total = sum(float(values.sum()) for values in likelihoods)
        likelihoods = [np.where(values > _LEAST_LIKELY * total, values, 0.0) for values in likelihoods]
        total = sum(float(values.sum()) for values in likelihoods)
        self._components = [
            _Component(*parts, weights=values / total) for (parts, _), values in zip(fitted, likelihoods, strict=True)
        ]

    @property
    def likeness(self) -> list[Likeness]:
        """Shares of the evidence that sum to 1, the largest first."""
        evidence = [float(component.weights.sum()) for component in self._components]
        total = sum(evidence)  # A sum of rounded weights: it, and one of them, may lie just above 1.
        shares = zip(self._components, evidence, strict=True)
        likeness = [Likeness(component.alike, share / total) for component, share in shares]
        return sorted(likeness, key=lambda likeness: -likeness.share)

    def predict(self, counts: Floats) -> list[Estimate]:
        """Each network (networks × columns), with its 90 % interval."""
        mean, std = self.moments(counts)
        low, high = np.maximum(mean - Z90 * std, LEAST_SHARE * mean), mean + Z90 * std
        return [Estimate(*map(float, ends)) for ends in zip(mean, low, high, strict=True)]

    def moments(self, counts: Floats) -> Moments:
        """Mean and standard deviation of each network's measurement."""
        return self._mixed(counts, whole=True)

    def columns(self) -> Moments:
        """What each column of the features costs inside a network, without the noise of a measurement."""
        return self._mixed(np.eye(self._all.features.width), whole=False)

    def leave_one_out(self) -> list[Estimate]:
        """Every measured network as the others predict it. Takes one network more than MIN_NETWORKS."""
        others = ~np.eye(len(self._counts), dtype=bool)
        return [
            NewDevice(self._all, self._counts[kept], self._measured_us[kept]).predict(self._counts[~kept])[0]
            for kept in others
        ]

    def _mixed(self, counts: Floats, whole: bool) -> Moments:
        mean, second = np.zeros(len(counts)), np.zeros(len(counts))
        for component in self._components:
            if component.weights.any():
                for weight, part in _moments(component, counts, whole):
                    mean += weight * part.mean_us
                    second += weight * (part.mean_us**2 + part.std_us**2)
        return Moments(mean, np.sqrt(np.maximum(second - mean**2, 0)))


def _fitted(
    prior: Prior, grid: Grid, alike: Alike, counts: Floats, measured_us: Floats
) -> tuple[tuple[Prior, Grid, Alike, float, Directions, Fits], Floats]:
    """What a component needs, and the log probability of each setting with the measured latencies."""
    measured = prior.of(counts)
    scale_us = float(np.exp(np.median(np.log(measured_us / measured.mean))))
    excess = measured_us / (scale_us * measured.mean) - 1
    fits = fit(kernels(grid, gram(measured, measured)), grid.values("noise"), excess)
    # Of the latencies, not of the excess, so that components compare.
    logs = fits.evidence + grid.log_prior - float(np.log(scale_us * measured.mean).sum())
    return (prior, grid, alike, scale_us, measured, fits), logs


def _moments(component: _Component, counts: Floats, whole: bool) -> Sequence[tuple[float, Moments]]:
    """Of each setting with any weight; of whole networks, or of parts of them."""
    prior, grid, fits = component.prior, component.grid, component.fits
    query = prior.of(counts) if whole else prior.of_columns(counts)
    base_us = component.scale_us * query.mean
    expected = np.ones(len(counts)) if whole else counts @ prior.mean
    likely = np.flatnonzero(component.weights)
    across = gram(query, component.measured)
    scales = np.stack([grid.values(block)[likely] ** 2 for block in BLOCKS], axis=1)
    own = scales @ np.stack([query.own(block) for block in BLOCKS])
    crossed = np.tensordot(scales, np.stack([across[block] for block in BLOCKS]), axes=1)
    moments = []
    for index, variance, covariance in zip(likely, own, crossed, strict=True):
        mean = expected + covariance @ fits.weights[index]
        variance = variance - ((covariance @ fits.inverse[index]) * covariance).sum(axis=1)
        if whole:
            mean = np.maximum(LEAST_SHARE, mean)
            variance = np.maximum(variance, 0) + grid.settings[index].noise ** 2
        moments.append(
            (float(component.weights[index]), Moments(base_us * mean, base_us * np.sqrt(np.maximum(variance, 0))))
        )
    return moments
