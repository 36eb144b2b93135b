"""From a table to a network, without the network's code: what the operations that it executes cost, raw and calibrated.

Which latencies of rows and networks are compared is decided here, and nowhere else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from numpy.linalg import LinAlgError
from pydantic import ValidationError

from latency_tables import calibration as posterior
from latency_tables.calibration import LEAST_SHARE, Calibrated, Estimate, TimedNetwork, raw_sum_us, row_us
from latency_tables.contract import (
    Basis,
    Calibration,
    Coefficient,
    Evidence,
    InNetworkRow,
    LatencyTable,
    Measurement,
    NetworkSpec,
    Prediction,
    TableRow,
)
from lut_server.analysis.error_card import error_card


class Uncalibratable(Exception):
    """Latencies so far apart that no posterior can be computed from them."""


class Measured(NamedTuple):
    """A network and its end-to-end measurement."""

    network: NetworkSpec
    measurement: Measurement


@dataclass(frozen=True)
class Predictor:
    """What a table says about networks, with its newest calibration if it has one."""

    table: LatencyTable
    basis: Basis
    calibration: Calibration | None = None
    fitted: Calibrated | None = None

    @cached_property
    def _held_out(self) -> dict[str, Evidence]:
        return {one.network: one for one in self.calibration.evidence} if self.calibration else {}

    def compared_with(self, measurement: Measurement) -> "Predictor":
        """The same, with latencies that may be compared with a measurement; those of a calibration may."""
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
            raw_us=raw_sum_us(self.table, network, self.basis),
            calibration_id=calibration and calibration.id,
            predicted_us=estimate and estimate.latency_us,
            low_us=estimate and estimate.low_us,
            high_us=estimate and estimate.high_us,
        )

    def _estimate(self, network: NetworkSpec) -> Estimate | None:
        known = self._held_out.get(network.digest)
        if known is not None:
            return Estimate(known.predicted_us, known.low_us, known.high_us)
        return self.fitted.predict(network) if self.fitted else None


def basis_of(table: LatencyTable, measurements: Iterable[Measurement] = ()) -> Basis:
    """Which latencies may be compared: those at the standard state if every row and every network has one."""
    every: list[TableRow | Measurement] = [*table.rows, *measurements]
    return "median_us" if any(one.normalized_us is None for one in every) else "normalized_us"


def latency_us(measurement: Measurement, basis: Basis) -> float:
    """The latency of a network, in microseconds; its median where it has no other."""
    normalized = measurement.normalized_us if basis == "normalized_us" else None
    return measurement.latency.median_us if normalized is None else normalized


def calibrated(table: LatencyTable, measured: Sequence[Measured], id: UUID, now: datetime) -> Calibration:
    """What a table learns from measured networks (three at least, whose operations it has).

    Raises:
        Uncalibratable: their latencies are too far apart to compute with.
    """
    try:
        return _calibrated(table, measured, id, now)
    except (LinAlgError, ValidationError, OverflowError) as error:
        raise Uncalibratable(f"table {table.id} with {len(measured)} networks: {error}") from error


def _calibrated(table: LatencyTable, measured: Sequence[Measured], id: UUID, now: datetime) -> Calibration:
    basis = basis_of(table, (one.measurement for one in measured))
    observed = [TimedNetwork(one.network, latency_us(one.measurement, basis)) for one in measured]
    fitted = Calibrated(table, observed, basis)
    held_out = fitted.leave_one_out()
    raw_us = [raw_sum_us(table, one.network, basis) for one in measured]
    return Calibration(
        id=id,
        created_at=now,
        table_id=table.id,
        table_digest=table.digest,
        version=posterior.VERSION,
        basis=basis,
        coefficients=tuple(Coefficient(kind=kind, mean=c.mean, std=c.std) for kind, c in fitted.kinds.items()),
        constant_us=Coefficient(kind="constant", mean=fitted.constant_us.mean, std=fitted.constant_us.std),
        rows=tuple(_in_network(row, fitted, basis) for row in table.rows),
        evidence=tuple(
            Evidence(
                network=one.network.digest,
                measurement_id=one.measurement.id,
                operations=sum(item.count for item in one.network.operations),
                measured_us=seen.measured_us,
                raw_us=raw,
                predicted_us=estimate.latency_us,
                low_us=estimate.low_us,
                high_us=estimate.high_us,
            )
            for one, seen, raw, estimate in zip(measured, observed, raw_us, held_out, strict=True)
        ),
        card=error_card(
            raw_us,
            held_out,
            [seen.measured_us for seen in observed],
            max(one.measurement.measured_at for one in measured),
        ),
    )


def _in_network(row: TableRow, fitted: Calibrated, basis: Basis) -> InNetworkRow:
    isolated_us = row_us(row, basis)
    latency = max(fitted.in_network_us(row.operation), LEAST_SHARE * isolated_us)
    return InNetworkRow(key=row.operation.digest, isolated_us=isolated_us, latency_us=latency)
