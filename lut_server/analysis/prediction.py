"""Predictions of networks from a table, raw and calibrated, by the operations that they execute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from numpy.linalg import LinAlgError
from pydantic import ValidationError

from latency_tables import calibration as posterior
from latency_tables.calibration import LEAST_SHARE, Calibrated, Estimate, TimedNetwork
from latency_tables.contract import (
    MAX_OTHERS,
    Basis,
    Calibration,
    Coefficient,
    Evidence,
    Expectation,
    InNetworkRow,
    LatencyTable,
    Measurement,
    NetworkSpec,
    OtherDevice,
    Path,
    Prediction,
    TableRow,
)
from latency_tables.latencies import basis_of, latency_us, network_us
from lut_server.analysis.error_card import error_card


class Uncalibratable(Exception):
    """The latencies are too far apart to compute a posterior from them."""


class MeasuredNetwork(NamedTuple):
    """A network and its end-to-end measurement."""

    network: NetworkSpec
    measurement: Measurement


class OtherCalibration(NamedTuple):
    """That of another device or runtime: what each operation costs inside a network over alone, by its digest."""

    name: str
    id: UUID
    coefficients: Mapping[str, float]


@dataclass(frozen=True)
class Predictor:
    """Predicts networks by a table, and by its newest calibration if it has one."""

    table: LatencyTable
    basis: Basis
    calibration: Calibration | None = None
    fitted: Calibrated | None = None

    @cached_property
    def _held_out(self) -> dict[str, Evidence]:
        return {evidence.network: evidence for evidence in self.calibration.evidence} if self.calibration else {}

    def compared_with(self, measurement: Measurement) -> "Predictor":
        """The predictor whose latencies may be compared with a measurement: this one if it has a calibration."""
        return self if self.calibration else Predictor(self.table, basis_of(self.table, [measurement]))

    def predict(self, network: NetworkSpec) -> Prediction:
        """A network that is in the calibration's evidence is predicted from the others.

        Raises:
            MissingRows: the table lacks operations of the network.
        """
        calibration = self.calibration
        estimate = self._estimate(network)
        return Prediction(
            network=network.digest,
            device=self.table.device,
            environment=self.table.environment.digest,
            runtime=self.table.runtime,
            table_id=self.table.id,
            raw_us=network_us(self.table, network, self.basis),
            calibration_id=calibration and calibration.id,
            predicted_us=estimate and estimate.latency_us,
            low_us=estimate and estimate.low_us,
            high_us=estimate and estimate.high_us,
        )

    def expect(self, paths: Sequence[Path]) -> Expectation:
        """What an input costs in the mean, by all measured networks; each path by itself as `predict` has it.

        Raises:
            MissingRows: the table lacks operations of a path.
        """
        calibration = self.calibration
        estimate = self.fitted.expect([(path.network, path.rate) for path in paths]) if self.fitted else None
        predictions = tuple(self.predict(path.network) for path in paths)
        return Expectation(
            device=self.table.device,
            environment=self.table.environment.digest,
            runtime=self.table.runtime,
            table_id=self.table.id,
            raw_us=sum(path.rate * network_us(self.table, path.network, self.basis) for path in paths),
            calibration_id=calibration and calibration.id,
            predicted_us=estimate and estimate.latency_us,
            low_us=estimate and estimate.low_us,
            high_us=estimate and estimate.high_us,
            paths=predictions,
        )

    def _estimate(self, network: NetworkSpec) -> Estimate | None:
        held_out = self._held_out.get(network.digest)
        if held_out is not None:
            return Estimate(held_out.predicted_us, held_out.low_us, held_out.high_us)
        return self.fitted.predict(network) if self.fitted else None


def calibrated(
    table: LatencyTable,
    measured: Sequence[MeasuredNetwork],
    id: UUID,
    now: datetime,
    others: Sequence[OtherCalibration] = (),
) -> Calibration:
    """The calibration of a table by measured networks (three at least, whose operations it has).

    `others` are calibrations of other devices and runtimes of the space; those without all rows of the table are left
    out.

    Raises:
        Uncalibratable: their latencies are too far apart to compute with.
    """
    try:
        return _calibrated(table, measured, id, now, others)
    except (LinAlgError, ValidationError, OverflowError) as error:
        raise Uncalibratable(f"table {table.id} with {len(measured)} networks: {error}") from error


def _calibrated(
    table: LatencyTable,
    measured: Sequence[MeasuredNetwork],
    id: UUID,
    now: datetime,
    others: Sequence[OtherCalibration],
) -> Calibration:
    measurements = [network.measurement for network in measured]
    basis = basis_of(table, measurements)
    observed = [TimedNetwork.of(network, measurement, basis) for network, measurement in measured]
    keys = [row.operation.digest for row in table.rows]
    others = [other for other in others if other.coefficients.keys() >= set(keys)][:MAX_OTHERS]
    deviations = [{key: other.coefficients[key] - 1 for key in keys} for other in others]
    fitted = Calibrated(table, observed, basis, deviations)
    held_out = fitted.leave_one_out()
    raw_us = [network_us(table, network, basis) for network, _ in measured]
    return Calibration(
        id=id,
        created_at=now,
        table_id=table.id,
        table_digest=table.digest,
        version=posterior.VERSION,
        basis=basis,
        parts=fitted.parts,
        others=tuple(
            OtherDevice(
                name=other.name,
                calibration_id=other.id,
                coefficients=tuple(other.coefficients[key] for key in keys),
            )
            for other in others
            if "devices" in fitted.parts
        ),
        coefficients=tuple(Coefficient(kind=kind, mean=c.mean, std=c.std) for kind, c in fitted.kinds.items()),
        constant_us=Coefficient(kind="constant", mean=fitted.constant_us.mean, std=fitted.constant_us.std),
        rows=tuple(_in_network(row, fitted, basis) for row in table.rows),
        evidence=tuple(
            Evidence(
                network=network.digest,
                measurement_id=measurement.id,
                operations=sum(item.count for item in network.operations),
                measured_us=timed.measured_us,
                std_rel=timed.std_rel,
                raw_us=sum_us,
                predicted_us=estimate.latency_us,
                low_us=estimate.low_us,
                high_us=estimate.high_us,
            )
            for (network, measurement), timed, sum_us, estimate in zip(
                measured, observed, raw_us, held_out, strict=True
            )
        ),
        card=error_card(
            raw_us,
            held_out,
            observed,
            max(measurement.measured_at for measurement in measurements),
        ),
    )


def _in_network(row: TableRow, fitted: Calibrated, basis: Basis) -> InNetworkRow:
    isolated_us = latency_us(row, basis)
    inside_us = max(fitted.in_network_us(row.operation), LEAST_SHARE * isolated_us)
    return InNetworkRow(key=row.operation.digest, isolated_us=isolated_us, latency_us=inside_us)
