"""What operations cost inside a network: a Gaussian posterior from networks that were measured end to end.

With r the sum of a network's rows and T its latency, T / r = 1 + Σ_g θ_g · (share of g in r) + θ_0 · c / r + ε.
A group g is an operation by name, by name and input resolution, or a single row (a hierarchical prior); c is the mean
sum of the measured networks. All θ are Gaussian around 0 (a row costs what it costs alone), so the posterior is in
closed form, in the space of the networks. The scatter of the groups and of the noise ε is not known: a grid of settings
is averaged, each weighted by the likelihood of the measurements under it.
"""

import itertools
import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from latency_tables.contract import Basis, LatencyTable, NetworkSpec, OperationSpec
from latency_tables.latencies import latency_us, network_us

VERSION = "per-kind-2"
MIN_NETWORKS = 3
"""The least number of measured networks that a calibration is made from."""

Floats = npt.NDArray[np.float64]

Z90 = 1.6449
"""Standard deviations from the middle of a Gaussian to either end of its 90 % interval."""

LEAST_SHARE = 0.01
"""Lower bound of a coefficient, so that latencies are positive."""

CONSTANT_SHARE = 0.02
"""Prior standard deviation of the constant, as a share of the mean network's sum."""


class TimedNetwork(NamedTuple):
    """A network and its end-to-end latency in microseconds."""

    network: NetworkSpec
    measured_us: float


class Estimate(NamedTuple):
    """A predicted latency with its 90 % predictive interval, in microseconds."""

    latency_us: float
    low_us: float
    high_us: float


class Gaussian(NamedTuple):
    """A posterior's mean and standard deviation."""

    mean: float
    std: float


class Scatter(NamedTuple):
    """Prior standard deviations, all relative: of a name, of a resolution of it, of a single row, of the noise."""

    name: float
    stage: float
    row: float
    noise: float


GRID = tuple(
    Scatter(*scatters)
    for scatters in itertools.product(
        (0.1, 0.2, 0.4), (0.03, 0.1, 0.2), (0.01, 0.03, 0.1), (0.002, 0.004, 0.007, 0.012, 0.02, 0.04)
    )
)
_EXPECTED = Scatter(name=0.3, stage=0.1, row=0.03, noise=0.01)
_LOG_STD = math.log(3)
"""Prior standard deviation of a scatter's logarithm: a factor of 3. It matters where networks are few."""

_LEAST_LIKELY = 0.01
"""A setting this much less likely than the best one is left out."""
_PRIOR_NETWORKS = 8
"""Pseudo-observations of the prior on the interval's scale, which is 1."""


_Group = tuple[str, str]
_Shares = dict[_Group, float]
_Grams = dict[str, Floats]
_LEVELS = ("constant", "name", "stage", "row")
_CONSTANT: _Group = ("constant", "")


class Calibrated:
    """The posterior over what operations cost inside networks, given a table and networks measured on its device.

    Raises:
        MissingRows: the table lacks operations of a network.
        ValueError: fewer than MIN_NETWORKS networks.
    """

    def __init__(self, table: LatencyTable, observed: Sequence[TimedNetwork], basis: Basis) -> None:
        if len(observed) < MIN_NETWORKS:
            raise ValueError(f"observed: {len(observed)} networks; a calibration takes at least {MIN_NETWORKS}")
        self._table = table
        self._basis = basis
        self._raw_us = np.array([network_us(table, item.network, basis) for item in observed])
        self._unit_us = float(self._raw_us.mean())
        self._shares = [_shares(table, item.network, self._unit_us, basis) for item in observed]
        excess = np.array([item.measured_us for item in observed]) / self._raw_us - 1
        self._fits = _fits(_grams(self._shares, self._shares), excess)
        self._held_out, squares = _held_out(self._fits, excess)
        total, count = _PRIOR_NETWORKS + float(squares.sum()), _PRIOR_NETWORKS + len(excess)
        self._scale = math.sqrt(total / count)
        self._held_out_scales = np.sqrt((total - squares) / (count - 1))

    def predict(self, network: NetworkSpec) -> Estimate:
        """Raises MissingRows."""
        raw_us = network_us(self._table, network, self._basis)
        excess = self._posterior(_shares(self._table, network, self._unit_us, self._basis), noisy=True)
        return _estimate(raw_us, excess, self._scale)

    def expect(self, paths: Sequence[tuple[NetworkSpec, float]]) -> Estimate:
        """What networks take together, each counted with its rate: Σ rate · latency, as one network of real counts.

        The shares of a sum are the networks' shares weighted by rate · r, so what paths have in common is uncertain
        once. Its noise is that of one measured network: more than that of a mean. Raises MissingRows.
        """
        raw_us = [rate * network_us(self._table, network, self._basis) for network, rate in paths]
        shares: _Shares = {}
        for (network, _), weight_us in zip(paths, raw_us, strict=True):
            for group, share in _shares(self._table, network, self._unit_us, self._basis).items():
                shares[group] = shares.get(group, 0.0) + share * weight_us / sum(raw_us)
        return _estimate(sum(raw_us), self._posterior(shares, noisy=True), self._scale)

    def leave_one_out(self) -> list[Estimate]:
        """Every observed network as the others predict it.

        Its own measurement has no part in the posterior, in the weights of the settings, and in the scale of its
        interval, with two approximations. A setting that is unlikely given all networks is left out for each. The
        residuals behind the scale are those of the other networks, each predicted from all networks but itself.
        """
        held_out = zip(self._raw_us, self._held_out.mean, self._held_out.std, self._held_out_scales, strict=True)
        return [
            _estimate(float(raw_us), Gaussian(float(mean), float(std)), float(scale))
            for raw_us, mean, std, scale in held_out
        ]

    def in_network_us(self, operation: OperationSpec) -> float:
        """What an operation costs inside a network, in microseconds. Raises MissingRows."""
        return latency_us(self._table[operation], self._basis) * self.coefficient(operation).mean

    def coefficient(self, operation: OperationSpec) -> Gaussian:
        """In-network latency of an operation over its isolated one."""
        return self._coefficient(dict.fromkeys(_groups(operation), 1.0))

    @cached_property
    def kinds(self) -> dict[str, Gaussian]:
        """The coefficient of every operation name in the observed networks."""
        names = sorted({group[1] for shares in self._shares for group in shares if group[0] == "name"})
        return {name: self._coefficient({("name", name): 1.0}) for name in names}

    @cached_property
    def constant_us(self) -> Gaussian:
        """What a network costs beside its operations, in microseconds."""
        constant = self._posterior({_CONSTANT: 1.0})
        return Gaussian(constant.mean * self._unit_us, constant.std * self._unit_us)

    def _coefficient(self, shares: _Shares) -> Gaussian:
        excess = self._posterior(shares)
        return Gaussian(1 + excess.mean, excess.std)

    def _posterior(self, shares: _Shares, noisy: bool = False) -> Gaussian:
        """The excess over 1 of these shares' cost, with the noise of a measurement or without."""
        across, own = _grams([shares], self._shares), _grams([shares], [shares])
        mixed = _mixed([fit.posterior(across, own, noisy) for fit in self._fits], _weights(self._fits))
        return Gaussian(float(mixed.mean[0]), float(mixed.std[0]))


class _Moments(NamedTuple):
    """Means and standard deviations, one of each for a network."""

    mean: Floats
    std: Floats


class _Fit(NamedTuple):
    """The posterior for one setting of the scatters; `weight` is the setting's probability."""

    scatter: Scatter
    weight: float
    inverse: Floats
    weights: Floats

    def leave_one_out(self, excess: Floats) -> _Moments:
        variance = 1 / np.diag(self.inverse)
        return _Moments(excess - self.weights * variance, np.sqrt(variance))

    def posterior(self, across: _Grams, own: _Grams, noisy: bool) -> _Moments:
        covariance = _kernel(self.scatter, across)
        variance = np.diag(_kernel(self.scatter, own)) - ((covariance @ self.inverse) * covariance).sum(axis=1)
        variance = np.maximum(variance, 0.0) + self.scatter.noise**2 * noisy
        return _Moments(covariance @ self.weights, np.sqrt(variance))


def _fits(grams: _Grams, excess: Floats) -> list[_Fit]:
    """A fit for every setting of the grid whose likelihood is at least `_LEAST_LIKELY` of the best one's."""
    kernels = [_kernel(scatter, grams) + scatter.noise**2 * np.eye(len(excess)) for scatter in GRID]
    logs = np.array([_evidence(scatter, kernel, excess) for scatter, kernel in zip(GRID, kernels, strict=True)])
    likelihoods = np.exp(logs - logs.max())
    likely = np.flatnonzero(likelihoods > _LEAST_LIKELY)
    inverses = {int(index): np.asarray(np.linalg.inv(kernels[index]), np.float64) for index in likely}
    return [
        _Fit(GRID[index], float(likelihoods[index] / likelihoods[likely].sum()), inverse, inverse @ excess)
        for index, inverse in inverses.items()
    ]


def _evidence(scatter: Scatter, kernel: Floats, excess: Floats) -> float:
    """The logarithm of the marginal likelihood times the weak prior of the scatters."""
    lower = np.linalg.cholesky(kernel)
    solved = np.linalg.solve(lower, excess)
    likelihood = -0.5 * solved @ solved - np.log(np.diag(lower)).sum()
    steps = [math.log(value / expected) / _LOG_STD for value, expected in zip(scatter, _EXPECTED, strict=True)]
    return float(likelihood - 0.5 * sum(step**2 for step in steps))


def _held_out(fits: Sequence[_Fit], excess: Floats) -> tuple[_Moments, Floats]:
    """Each network as the others predict it, and its squared residual in standard deviations of that prediction.

    The likelihood of a setting given the others is its likelihood given all networks, divided by the probability that
    it gives to this network given the others.
    """
    moments = [fit.leave_one_out(excess) for fit in fits]
    logs = np.array([np.log(fit.std) + 0.5 * ((excess - fit.mean) / fit.std) ** 2 for fit in moments])
    logs += np.log(_weights(fits))
    weights = np.exp(logs - logs.max(axis=0))
    mixed = _mixed(moments, weights / weights.sum(axis=0))
    return mixed, ((excess - mixed.mean) / mixed.std) ** 2


def _weights(fits: Sequence[_Fit]) -> Floats:
    """Shape fits × 1: the weights of the fits, the same for every network."""
    return np.array([[fit.weight] for fit in fits])


def _mixed(moments: Sequence[_Moments], weights: Floats) -> _Moments:
    """Mean and standard deviation of the mixture of the fits; `weights` are fits × networks, or fits × 1."""
    means, stds = np.array([fit.mean for fit in moments]), np.array([fit.std for fit in moments])
    mean = (weights * means).sum(axis=0)
    return _Moments(mean, np.sqrt((weights * (stds**2 + (means - mean) ** 2)).sum(axis=0)))


def _estimate(raw_us: float, excess: Gaussian, scale: float) -> Estimate:
    reach = Z90 * scale * excess.std
    ends = (excess.mean, excess.mean - reach, excess.mean + reach)
    return Estimate(*(raw_us * max(LEAST_SHARE, 1 + value) for value in ends))


def choose(table: LatencyTable, candidates: Sequence[NetworkSpec], count: int, basis: Basis) -> list[NetworkSpec]:
    """The `count` networks to measure: spread over the range of latencies and over the kinds of operation.

    The candidates are cut into `count` parts by their sums. From each part the network is taken whose latency is the
    least certain given those taken before (greedy D-optimal design). Raises MissingRows.
    """
    candidates = sorted(candidates, key=lambda network: network_us(table, network, basis))
    parts = [part for part in np.array_split(np.arange(len(candidates)), count) if len(part)]
    design = _Design(table, candidates, basis)
    # From the ends of the range to its middle: the middle is then chosen for its kinds of operation.
    order = sorted(range(len(parts)), key=lambda index: -abs(index - (len(parts) - 1) / 2))
    return [candidates[design.take(parts[index])] for index in order]


class _Design:
    """Covariance of the candidates' relative latencies, conditioned on those that were taken."""

    def __init__(self, table: LatencyTable, candidates: Sequence[NetworkSpec], basis: Basis) -> None:
        raw_us = [network_us(table, network, basis) for network in candidates]
        unit_us = sum(raw_us) / len(raw_us)
        shares = [_shares(table, network, unit_us, basis) for network in candidates]
        self._covariance = _kernel(_EXPECTED, _grams(shares, shares))

    def take(self, among: npt.NDArray[np.int64]) -> int:
        """The index of the least certain candidate among these."""
        covariance = self._covariance
        taken = int(among[np.argmax(np.diag(covariance)[among])])
        column = covariance[:, taken]
        self._covariance = covariance - np.outer(column, column) / (column[taken] + _EXPECTED.noise**2)
        return taken


def _shares(table: LatencyTable, network: NetworkSpec, unit_us: float, basis: Basis) -> _Shares:
    """The share of every group in a network's sum; for the constant, `unit_us` over the sum."""
    raw_us = network_us(table, network, basis)
    shares: _Shares = {_CONSTANT: unit_us / raw_us}
    for item in network.operations:
        share = item.count * latency_us(table[item.operation], basis) / raw_us
        for group in _groups(item.operation):
            shares[group] = shares.get(group, 0.0) + share
    return shares


def _groups(operation: OperationSpec) -> tuple[_Group, ...]:
    resolution = "×".join(map(str, operation.input_shapes[0][1:]))
    return ("name", operation.name), ("stage", f"{operation.name} at {resolution}"), ("row", operation.digest)


def _variance(scatter: Scatter, level: str) -> float:
    return float(CONSTANT_SHARE if level == "constant" else getattr(scatter, level)) ** 2


def _kernel(scatter: Scatter, grams: _Grams) -> Floats:
    """The prior covariance of relative latencies, networks × networks."""
    return np.asarray(sum(_variance(scatter, level) * gram for level, gram in grams.items()), dtype=np.float64)


def _grams(left: Sequence[_Shares], right: Sequence[_Shares]) -> _Grams:
    """For each level of groups, the inner products of shares: left × right networks."""
    return {level: _gram(left, right, level) for level in _LEVELS}


def _gram(left: Sequence[_Shares], right: Sequence[_Shares], level: str) -> Floats:
    groups = sorted({group for shares in (*left, *right) for group in shares if group[0] == level})
    first, second = (
        np.array([[shares.get(group, 0.0) for group in groups] for shares in side]).reshape(len(side), len(groups))
        for side in (left, right)
    )
    return np.asarray(first @ second.T, dtype=np.float64)
