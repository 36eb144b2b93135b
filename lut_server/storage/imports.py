"""Tables that another server built, with their calibrations."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.contract import CalibrationFile, DeviceReport, LatencyTable, TableSummary
from lut_server.errors import Conflict, Unprocessable
from lut_server.storage import calibrations, devices, networks, operations, tables
from lut_server.storage.models import CalibrationRow, LatencyTableRow

CLOCKS_DIFFER = timedelta(days=1)


def put(
    session: Session, table: LatencyTable, now: datetime, calibration: CalibrationFile | None = None
) -> TableSummary:
    """Store a table, and its calibration, under the ids that they have; the same again changes nothing.

    A known device keeps its own description.

    Raises:
        Unprocessable: its rows are not of one definition of its space, it was built in the future, or the calibration
            is of another table.
        Conflict: another table or calibration has its id.
    """
    _check(table, now)
    _put_table(session, table, now)
    if calibration is not None:
        _put_calibration(session, table, calibration, now)
    return tables.find(session, table.id)


def _put_table(session: Session, table: LatencyTable, now: datetime) -> None:
    stored = session.scalar(select(LatencyTableRow.content_digest).where(LatencyTableRow.id == table.id))
    if stored is not None:
        if stored != table.digest:
            raise Conflict(
                f"id={table.id}: another table is stored under this id; tables are never replaced",
                field="id",
                value=str(table.id),
            )
        return
    report = DeviceReport(device=table.device, environment=table.environment, agent="imported table")
    devices.add_missing(session, report, first_seen=now, heartbeat_at=table.created_at)
    operations.add(session, (row.operation for row in table.rows))
    session.add(tables.new_row(table))
    session.flush()


def _put_calibration(session: Session, table: LatencyTable, file: CalibrationFile, now: datetime) -> None:
    calibration = file.calibration
    _require_past(calibration.created_at, now, "calibration")
    if (calibration.table_id, calibration.table_digest) != (table.id, table.digest):
        raise Unprocessable(
            f"table_id={calibration.table_id}: the calibration is not of table {table.id} with its content",
            field="table_id",
            value=str(calibration.table_id),
        )
    keys = {row.operation.digest for row in table.rows}
    executed = {counted.operation.digest for network in file.networks for counted in network.operations}
    if {row.key for row in calibration.rows} != keys or not executed <= keys:
        raise Unprocessable("rows: the calibration has other operations than the table", field="rows")
    stored = session.scalar(select(CalibrationRow.content_digest).where(CalibrationRow.id == calibration.id))
    if stored is not None:
        if stored != calibration.digest:
            raise Conflict(
                f"id={calibration.id}: another calibration is stored under this id; they are never replaced",
                field="id",
                value=str(calibration.id),
            )
        return
    networks.add(session, file.networks, now)
    session.add(calibrations.new_row(calibration, calibrations.evidence_of(calibration)))
    session.flush()


def _require_past(created_at: datetime, now: datetime, noun: str) -> None:
    if created_at > now + CLOCKS_DIFFER:
        raise Unprocessable(
            f"created_at={created_at.isoformat()}: is in the future; was the clock wrong where this {noun} was made?",
            field="created_at",
            value=created_at.isoformat(),
        )


def _check(table: LatencyTable, now: datetime) -> None:
    _require_past(table.created_at, now, "table")
    keys: set[str] = set()
    for row in table.rows:
        spec = row.operation
        if (spec.space, spec.space_digest) != (table.space, table.space_digest):
            raise Unprocessable(f"rows: {spec} is not of space {table.space!r} with the table's space_digest")
        if spec.digest in keys:
            raise Unprocessable(f"rows: {spec} is repeated")
        keys.add(spec.digest)
