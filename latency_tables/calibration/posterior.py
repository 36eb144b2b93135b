"""The posterior over relative latencies under one model: a grid of settings, each weighted by its evidence."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple, get_args

import numpy as np

from latency_tables.calibration.directions import Directions, Grid, Setting, gram, kernel, kernels
from latency_tables.calibration.estimates import Floats
from latency_tables.calibration.mixture import Mixture, Predicted
from latency_tables.calibration.student import GAUSSIAN, STUDENT, Fits, fit, fit_gaussian
from latency_tables.contract import CalibrationPart

PARTS: tuple[CalibrationPart, ...] = get_args(CalibrationPart)

CONSTANT = 0.02
"""Prior standard deviation of the constant, as a share of the mean network's sum."""
SCALE = 0.3
_EXPECTED = {"name": 0.2, "stage": 0.1, "row": 0.04, "noise": 0.01}
_DEVICE = {"device": 0.5}
EXPECTED = Setting(constant=CONSTANT, error=1.0, **_EXPECTED)
"""What is taken for true while nothing was measured."""

_LEAST_LIKELY = 0.01
"""A setting this much less likely than the best one is left out."""
_MOST = 64
_HARDLY_LIKELY = 1e-4
"""Where there are more networks, only settings that _MOST of them do not exclude are fitted to all: that takes time."""


@cache
def grid(parts: tuple[CalibrationPart, ...]) -> Grid:
    """The settings of a model; a prior far from `EXPECTED` is less likely, which matters where networks are few."""
    others = "devices" in parts
    return Grid.of(
        _EXPECTED | (_DEVICE if others else {}),
        name=(0.06, 0.2, 0.6),
        stage=(0.03, 0.1, 0.3),
        row=(0.013, 0.045, 0.15),
        noise=(0.002, 0.005, 0.012, 0.03, 0.07),
        device=(0.3, 1.0) if others else (0.0,),
        scale=(SCALE if "scale" in parts else 0.0,),
        constant=(CONSTANT,),
        error=(1.0,),
    )


class HeldOut(NamedTuple):
    """Each network as the others predict it, and the log probability density of its measurement under that."""

    predicted: Predicted
    log_density: Floats


class Posterior:
    """One model, given measured networks.

    Args:
        parts: what it has.
        measured: the networks.
        excess: what they measured over their sums of rows, minus 1.
        measuring: variance of each measurement, relative to the sum.

    Raises:
        numpy.linalg.LinAlgError: the latencies are too far apart to compute with.
    """

    def __init__(
        self, parts: Sequence[CalibrationPart], measured: Directions, excess: Floats, measuring: Floats
    ) -> None:
        self.parts = tuple(parts)
        self._measured, self._measuring = measured, measuring
        self._excess = excess = excess - self._expected(measured)
        self._nodes = STUDENT if "student_t" in parts else GAUSSIAN
        settings, grams = grid(self.parts), gram(measured, measured)
        if len(excess) > _MOST:
            few = np.linspace(0, len(excess) - 1, _MOST).astype(int)
            part = {block: matrix[np.ix_(few, few)] for block, matrix in grams.items()}
            likelihoods = self._fitted(settings, part, excess[few], measuring[few])[1]
            settings = settings.only(likelihoods > _HARDLY_LIKELY)
        fits, likelihoods = self._fitted(settings, grams, excess, measuring)
        likely = likelihoods > _LEAST_LIKELY
        self._grid = settings.only(likely)
        self.probabilities = likelihoods[likely] / likelihoods[likely].sum()
        self._weights, self._inverse, self._variance = fits.weights[likely], fits.inverse[likely], fits.variance[likely]

    def _fitted(
        self, settings: Grid, grams: Mapping[str, Floats], excess: Floats, measuring: Floats
    ) -> tuple[Fits, Floats]:
        """The likelihoods, with the prior's, are relative to the best one's."""
        fitted = fit if "student_t" in self.parts else fit_gaussian
        fits = fitted(kernels(settings, grams) + np.diag(measuring), settings.values("noise"), excess)
        logs = fits.evidence + settings.log_prior
        if not np.isfinite(logs).all():
            raise np.linalg.LinAlgError("the evidence of a setting is not finite")
        return fits, np.exp(logs - logs.max())

    def held_out(self) -> HeldOut:
        """Each measured network without its own measurement.

        The likelihood of a setting given the others is its likelihood given all networks, divided by the probability
        that it gives to this network given the others. A setting that is unlikely given all is left out for each.
        """
        total = 1 / np.diagonal(self._inverse, axis1=1, axis2=2)
        means = self._excess - self._weights * total
        latent = np.maximum(total - self._variance - self._measuring, 0.0)
        variances = (latent + self._measuring)[:, None, :] + self._noise[:, :, None]
        log_nodes = -0.5 * np.log(variances) - 0.5 * ((self._excess - means) ** 2)[:, None, :] / variances
        log_nodes += np.log(self._nodes.probabilities)[:, None]
        log_settings = np.logaddexp.reduce(log_nodes, axis=1)
        logs = np.log(self.probabilities)[:, None] - log_settings
        weights = np.exp(logs - logs.max(axis=0))
        weights /= weights.sum(axis=0)
        predicted = self._noisy(means + self._expected(self._measured), variances, weights).predicted()
        return HeldOut(predicted, -np.logaddexp.reduce(logs, axis=0))

    def of(self, asked: Directions, measuring: float | None = None) -> Mixture:
        """The excess of these sums; of a measurement of variance `measuring` with the model's noise, or of neither."""
        covariance = kernels(self._grid, gram(asked, self._measured))
        own = kernels(self._grid, {block: asked.own(block) for block in asked.blocks})
        means = np.einsum("sij,sj->si", covariance, self._weights) + self._expected(asked)
        told = ((covariance @ self._inverse) * covariance).sum(axis=2)
        known = np.maximum(own - told, 0.0)
        if measuring is None:
            return Mixture(means, known, self.probabilities[:, None])
        return self._noisy(
            means, (known + measuring)[:, None, :] + self._noise[:, :, None], self.probabilities[:, None]
        )

    def covariance(self, asked: Directions) -> Floats:
        """Of the excess of these sums, without noise."""
        across, own = gram(asked, self._measured), gram(asked, asked)
        means, total = [], np.zeros((len(asked.mean), len(asked.mean)))
        for setting, weights, inverse, probability in zip(
            self._grid.settings, self._weights, self._inverse, self.probabilities, strict=True
        ):
            covariance = kernel(setting, across)
            means.append(covariance @ weights)
            total += probability * (kernel(setting, own) - covariance @ inverse @ covariance.T)
        apart = np.array(means) - self.probabilities @ np.array(means)
        return np.asarray(total + (apart * self.probabilities[:, None]).T @ apart)

    def _expected(self, networks: Directions) -> Floats:
        """Their excess before anything was measured: with other devices the mean of theirs."""
        others = networks.blocks["device"]
        if "devices" not in self.parts or not others.shape[1]:
            return np.zeros(len(networks.mean))
        return np.asarray(others.sum(axis=1) / math.sqrt(others.shape[1]))

    @property
    def noise(self) -> float:
        """Its variance; under Student's t that of its middle, as outliers tell little."""
        return float(self.probabilities @ self._grid.values("noise") ** 2)

    @property
    def _noise(self) -> Floats:
        """Variances of the noise: settings × nodes."""
        return np.asarray(self._grid.values("noise")[:, None] ** 2 * self._nodes.variances)

    def _noisy(self, means: Floats, variances: Floats, weights: Floats) -> Mixture:
        """Of means (settings × networks) with the variance of each node (settings × nodes × networks)."""
        settings, nodes, networks = variances.shape
        shares = (weights[:, None, :] * self._nodes.probabilities[:, None]).reshape(settings * nodes, -1)
        return Mixture(np.repeat(means, nodes, axis=0), variances.reshape(settings * nodes, networks), shares)
