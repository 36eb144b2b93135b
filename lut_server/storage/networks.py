"""Networks, and what they cost where: the table's sum beside the end-to-end latency."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from lut_server.database import insert_missing
from lut_server.errors import NotFound
from lut_server.models import MeasurementRow, NetworkRow, TableRow
from lut_server.prediction import raw_sum_us
from lut_server.schemas import (
    LatencyTable,
    Measurement,
    MissingRows,
    NetworkRecord,
    NetworkResult,
    NetworkSpec,
    Page,
    canonical_json,
)
from lut_server.storage import devices, operations, paging, tables


def put(session: Session, network: NetworkSpec, now: datetime) -> NetworkRecord:
    operations.add(session, (item.operation for item in network.operations))
    body = canonical_json(network.model_dump(mode="json"))
    insert_missing(session, NetworkRow, [{"digest": network.digest, "body": body, "created_at": now}])
    return get(session, network.digest)


def get(session: Session, digest: str) -> NetworkRecord:
    row = session.scalars(select(NetworkRow).where(NetworkRow.digest == digest)).one_or_none()
    if row is None:
        raise NotFound(
            f"digest={digest!r}: no such network; PUT it first, or post a job that measures it",
            field="digest",
            value=digest,
        )
    return _record(session, row, {})


def page(session: Session, after: str | None, limit: int) -> Page[NetworkRecord]:
    loaded: dict[UUID, LatencyTable] = {}
    query = select(NetworkRow)
    return paging.page(session, query, NetworkRow.sequence, after, limit, lambda row: _record(session, row, loaded))


def _record(session: Session, row: NetworkRow, loaded: dict[UUID, LatencyTable]) -> NetworkRecord:
    network = NetworkSpec.model_validate_json(row.body)
    query = select(MeasurementRow).where(MeasurementRow.key == row.digest).order_by(MeasurementRow.sequence)
    best: dict[tuple[str, str, str], MeasurementRow] = {}
    for measured in session.scalars(query):
        place = (measured.device, measured.environment, measured.runtime)
        if measured.sound or place not in best or not best[place].sound:
            best[place] = measured
    return NetworkRecord(
        id=row.digest,
        network=network,
        created_at=row.created_at,
        results=tuple(_result(session, network, measured, loaded) for measured in best.values()),
    )


def _result(
    session: Session, network: NetworkSpec, row: MeasurementRow, loaded: dict[UUID, LatencyTable]
) -> NetworkResult:
    measurement = Measurement.model_validate_json(row.body)
    table_id = session.scalar(
        select(TableRow.id)
        .where(
            TableRow.device == row.device,
            TableRow.environment == row.environment,
            TableRow.runtime == row.runtime,
            TableRow.space == network.space,
            TableRow.space_digest == network.space_digest,
        )
        .order_by(TableRow.sequence.desc())
        .limit(1)
    )
    predicted_us = None
    if table_id is not None:
        if table_id not in loaded:
            loaded[table_id] = tables.get(session, table_id)
        try:
            predicted_us = raw_sum_us(loaded[table_id], network)
        except MissingRows:
            table_id = None
    return NetworkResult(
        device=devices.find(session, row.device),
        environment=row.environment,
        runtime=measurement.runtime,
        measured=measurement.latency,
        quality=measurement.quality,
        measurement_id=measurement.id,
        measured_at=measurement.measured_at,
        predicted_us=predicted_us,
        table_id=table_id,
    )
