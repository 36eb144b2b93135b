"""What operations cost inside a network, from a table and networks that were measured end to end on its device."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from latency_tables.calibration.estimates import LEAST_SHARE, Estimate, Floats, Gaussian, TimedNetwork
from latency_tables.calibration.mixture import Predicted
from latency_tables.calibration.models import Models
from latency_tables.calibration.rows import Rows
from latency_tables.contract import Basis, Calibration, CalibrationPart, LatencyTable, NetworkSpec, OperationSpec
from latency_tables.latencies import network_us

VERSION = "per-kind-3"
MIN_NETWORKS = 3
"""The least number of measured networks that a calibration is made from."""

_PRIOR_NETWORKS = 8
"""Pseudo-observations of the prior on the interval's scale, which is 1.

Held-out residuals make intervals wider, never narrower: from few networks, small ones are luck as often as not, and
then 85 instead of 90 % are inside.
"""

_CHUNK = 256
"""Rows at a time: each of them is a sum over all."""

Others = Sequence[Mapping[str, float]]
"""Of each other device: what a row (by its operation's digest) costs inside a network over alone, minus 1."""


class Calibrated:
    """The posterior over what operations cost inside networks, given a table and networks measured on its device.

    Args:
        others: other devices of the same space. One that lacks a row of the table is left out.
        parts: of the model, beside what every one has; left out: those that help on networks that are held out.

    Raises:
        MissingRows: the table lacks operations of a network.
        ValueError: fewer than MIN_NETWORKS networks.
        numpy.linalg.LinAlgError: the latencies are too far apart to compute with.
    """

    def __init__(
        self,
        table: LatencyTable,
        observed: Sequence[TimedNetwork],
        basis: Basis,
        others: Others = (),
        parts: Sequence[CalibrationPart] | None = None,
    ) -> None:
        if len(observed) < MIN_NETWORKS:
            raise ValueError(f"observed: {len(observed)} networks; a calibration takes at least {MIN_NETWORKS}")
        self._table, self._basis = table, basis
        networks = [timed.network for timed in observed]
        raw_us = np.array([network_us(table, network, basis) for network in networks])
        self._rows = Rows(table, basis, float(raw_us.mean()), _deviations(table, others))
        self._measured = self._rows.of(networks)
        self._excess = np.array([timed.measured_us for timed in observed]) / raw_us - 1
        self._typical, measuring = _measuring(observed)
        models = Models(self._measured, self._excess, measuring * (1 + self._excess) ** 2)
        chosen = models.chosen(bool(len(others))) if parts is None else models.of(frozenset(parts))
        self._posterior = chosen.posterior
        self._networks = networks
        self._held_out = models.held_out() if parts is None else chosen.held_out.predicted
        squares = ((self._excess - self._held_out.mean) / self._held_out.std) ** 2
        total, count = _PRIOR_NETWORKS + float(squares.sum()), _PRIOR_NETWORKS + len(squares)
        self._scale = max(1.0, math.sqrt(total / count))
        self._held_out_scales = np.maximum(1.0, np.sqrt((total - squares) / (count - 1)))

    @property
    def parts(self) -> tuple[CalibrationPart, ...]:
        """What the model has beside the table's own directions and Gaussian noise."""
        return self._posterior.parts

    def predict(self, network: NetworkSpec) -> Estimate:
        """What a measurement of the network will say, measured as well as the others were. Raises MissingRows."""
        return self.predict_all([network])[0]

    def predict_all(self, networks: Sequence[NetworkSpec]) -> list[Estimate]:
        """As `predict`, each network."""
        asked = self._rows.of(networks)
        predicted = self._posterior.of(asked, self._typical).predicted()
        return _estimates(asked.mean, predicted, np.full(len(networks), self._scale))

    def expect(self, paths: Sequence[tuple[NetworkSpec, float]]) -> Estimate:
        """What networks take together, each counted with its rate: Σ rate · latency, as one network of real counts.

        What paths have in common is uncertain once. Its noise is that of one measured network: more than that of a
        mean. Raises MissingRows.
        """
        rates = np.array([rate for _, rate in paths])
        parts = rates @ self._rows.parts([network for network, _ in paths])
        asked = self._rows.of_parts(parts[None], rates.sum(keepdims=True))
        predicted = self._posterior.of(asked, self._typical).predicted()
        return _estimates(asked.mean, predicted, np.full(1, self._scale))[0]

    def leave_one_out(self) -> list[Estimate]:
        """Every observed network as the others predict it.

        Its own measurement has no part in the posterior, in the weights of the settings, in the choice of the model's
        parts, and in the scale of its interval, with approximations: a setting that is unlikely given all networks is
        left out for each, the weights that Student's t gives to the others are those given all, and the residuals
        behind the scale are those of the other networks, each predicted from all networks but itself.
        """
        return _estimates(self._measured.mean, self._held_out, self._held_out_scales)

    def expected_error(self, networks: Sequence[NetworkSpec]) -> float:
        """The mean error, relative, that predictions of these networks are expected to have against measurements.

        Raises MissingRows.
        """
        excess = self._posterior.of(self._rows.of(networks), self._typical)
        return self._scale * float((excess.mean_error / np.maximum(1 + excess.mean, LEAST_SHARE)).mean())

    def uncertainty(self, networks: Sequence[NetworkSpec]) -> tuple[Floats, float]:
        """Covariance of their relative latencies, and the variance of a measurement of one. Raises MissingRows."""
        return self._posterior.covariance(self._rows.of(networks)), self._posterior.noise + self._typical

    def in_network_us(self, operation: OperationSpec) -> float:
        """What an operation costs inside a network, in microseconds. Raises MissingRows."""
        return float(self._rows.us[self._rows.index(operation)]) * self.coefficient(operation).mean

    def coefficient(self, operation: OperationSpec) -> Gaussian:
        """In-network latency of an operation over its isolated one. Raises MissingRows."""
        return self._coefficients[self._rows.index(operation)]

    @cached_property
    def kinds(self) -> dict[str, Gaussian]:
        """The coefficient of every operation name in the observed networks, as those execute it."""
        parts = self._rows.parts(self._networks).sum(axis=0)
        names = [row.operation.name for row in self._table.rows]
        found = sorted({name for name, part in zip(names, parts, strict=True) if part > 0})
        by_kind = np.array([[part * (name == kind) for name, part in zip(names, parts, strict=True)] for kind in found])
        excess = self._posterior.of(self._rows.of_parts(by_kind, np.zeros(len(found))))
        means, stds = excess.mean, excess.std
        return {kind: Gaussian(1 + float(mean), float(std)) for kind, mean, std in zip(found, means, stds, strict=True)}

    @cached_property
    def constant_us(self) -> Gaussian:
        """What a network costs beside its operations, in microseconds."""
        constant, unit_us = self._posterior.of(self._rows.constant()), self._rows.unit_us
        return Gaussian(float(constant.mean[0]) * unit_us, float(constant.std[0]) * unit_us)

    @cached_property
    def _coefficients(self) -> list[Gaussian]:
        """Of each row."""
        count = len(self._rows.us)
        coefficients: list[Gaussian] = []
        for start in range(0, count, _CHUNK):
            excess = self._posterior.of(self._rows.single(range(start, min(start + _CHUNK, count))))
            pairs = zip(excess.mean, excess.std, strict=True)
            coefficients += [Gaussian(1 + float(mean), float(std)) for mean, std in pairs]
        return coefficients


def calibrated_by(table: LatencyTable, calibration: Calibration, networks: Sequence[NetworkSpec]) -> Calibrated:
    """The posterior that a calibration of this table is of; `networks` are those of its evidence, in order.

    Raises:
        ValueError: there are not as many networks.
        numpy.linalg.LinAlgError: the latencies are too far apart to compute with.
    """
    observed = [
        TimedNetwork(network, evidence.measured_us, evidence.std_rel)
        for network, evidence in zip(networks, calibration.evidence, strict=True)
    ]
    keys = [row.key for row in calibration.rows]
    others = [
        {key: coefficient - 1 for key, coefficient in zip(keys, other.coefficients, strict=True)}
        for other in calibration.others
    ]
    return Calibrated(table, observed, calibration.basis, others, calibration.parts)


def _measuring(observed: Sequence[TimedNetwork]) -> tuple[float, Floats]:
    """The relative variance of a measurement that is typical, and each network's: half its own, half the typical one.

    A network's interval rests on few processes, so that its width is a guess, too: weights by that alone predict worse.
    """
    known = [timed.std_rel**2 for timed in observed if timed.std_rel is not None]
    typical = float(np.median(known)) if known else 0.0
    own = [typical if timed.std_rel is None else timed.std_rel**2 for timed in observed]
    return typical, (np.array(own) + typical) / 2


def _deviations(table: LatencyTable, others: Others) -> Floats:
    """Devices × rows."""
    keys = [row.operation.digest for row in table.rows]
    complete = [other for other in others if other.keys() >= set(keys)]
    return np.array([[other[key] for key in keys] for other in complete]).reshape(len(complete), len(keys))


def _estimates(raw_us: Floats, excess: Predicted, scales: Floats) -> list[Estimate]:
    """Of each network; `scales` are those of the intervals' halves."""
    mean = excess.mean
    ends = (mean, mean - scales * (mean - excess.low), mean + scales * (excess.high - mean))
    latencies = [raw_us * np.maximum(LEAST_SHARE, 1 + end) for end in ends]
    return [Estimate(*map(float, of_network)) for of_network in zip(*latencies, strict=True)]
