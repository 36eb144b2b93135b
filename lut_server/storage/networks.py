"""Networks with their results on every device: the predicted latency beside the measured one."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.contract import (
    Basis,
    Measurement,
    MissingRows,
    NetworkRecord,
    NetworkResult,
    NetworkSpec,
    Page,
    Prediction,
)
from latency_tables.latencies import latency_us
from lut_server.errors import NotFound
from lut_server.storage import devices, measurements, operations, paging, predictions, tables
from lut_server.storage.database import insert_missing
from lut_server.storage.models import MeasurementRow, NetworkRow


def put(session: Session, network: NetworkSpec, now: datetime) -> NetworkRecord:
    add(session, [network], now)
    return get(session, network.digest)


def add(session: Session, networks: Iterable[NetworkSpec], now: datetime) -> None:
    ordered = sorted(networks, key=lambda network: network.digest)
    operations.add(session, {counted.operation for network in ordered for counted in network.operations})
    rows = [
        {
            "digest": network.digest,
            "space": network.space,
            "space_digest": network.space_digest,
            "body": network.canonical,
            "created_at": now,
        }
        for network in ordered
    ]
    insert_missing(session, NetworkRow, rows)


def get(session: Session, digest: str) -> NetworkRecord:
    row = session.scalars(select(NetworkRow).where(NetworkRow.digest == digest)).one_or_none()
    if row is None:
        raise NotFound(
            f"digest={digest!r}: no such network; PUT it first, or post a job that measures it",
            field="digest",
            value=digest,
        )
    return _record(session, row)


def page(session: Session, after: str | None, limit: int) -> Page[NetworkRecord]:
    query = select(NetworkRow)
    return paging.page(session, query, NetworkRow.sequence, after, limit, lambda row: _record(session, row))


def _record(session: Session, row: NetworkRow) -> NetworkRecord:
    network = NetworkSpec.model_validate_json(row.body)
    query = select(MeasurementRow).where(MeasurementRow.key == row.digest).order_by(*measurements.LAST_COUNTS)
    last = {(row.device, row.environment, row.runtime): row for row in session.scalars(query)}
    return NetworkRecord(
        id=row.digest,
        network=network,
        created_at=row.created_at,
        results=tuple(_result(session, network, measured) for measured in last.values()),
    )


def _result(session: Session, network: NetworkSpec, row: MeasurementRow) -> NetworkResult:
    measurement = Measurement.model_validate_json(row.body)
    prediction, basis = _predict(session, network, row, measurement)
    return NetworkResult(
        device=devices.find(session, row.device),
        environment=row.environment,
        runtime=measurement.runtime,
        measured=measurement.latency,
        measured_us=latency_us(measurement, basis),
        measured_low_us=measurement.normalized_low_us if basis == "normalized_us" else None,
        measured_high_us=measurement.normalized_high_us if basis == "normalized_us" else None,
        quality=measurement.quality,
        measurement_id=measurement.id,
        measured_at=measurement.measured_at,
        table_id=prediction and prediction.table_id,
        raw_us=prediction and prediction.raw_us,
        calibration_id=prediction and prediction.calibration_id,
        predicted_us=prediction and prediction.predicted_us,
        low_us=prediction and prediction.low_us,
        high_us=prediction and prediction.high_us,
    )


def _predict(
    session: Session, network: NetworkSpec, row: MeasurementRow, measurement: Measurement
) -> tuple[Prediction | None, Basis]:
    """A prediction by the newest table under the conditions of a measurement; and which latencies it is made of."""
    table = tables.newest_under(
        session,
        device=row.device,
        environment=row.environment,
        runtime=row.runtime,
        method_version=row.method_version,
        space=network.space,
        space_digest=network.space_digest,
    )
    if table is None:
        return None, "median_us"
    predictor = predictions.predictor(session, table.id).compared_with(measurement)
    try:
        return predictor.predict(network), predictor.basis
    except MissingRows:
        return None, predictor.basis
