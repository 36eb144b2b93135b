"""Tables that another server built."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from lut_server.database import insert_missing
from lut_server.errors import Conflict, Unprocessable
from lut_server.models import DeviceRow, EnvironmentRow, TableRow
from lut_server.schemas import LatencyTable, TableSummary, canonical_json
from lut_server.storage import operations, tables

CLOCKS_DIFFER = timedelta(days=1)


def put(session: Session, table: LatencyTable, now: datetime) -> TableSummary:
    """Store a table under the id that it has; the same table again changes nothing.

    Its device and environment are made known if they are not yet; a device that is known keeps what it says of itself.

    Raises:
        Unprocessable: its rows are not of one definition of its space, or it was built in the future.
        Conflict: its id stands for another table.
    """
    _check(table, now)
    stored = session.scalar(select(TableRow.content_digest).where(TableRow.id == table.id))
    if stored is not None:
        if stored != table.digest:
            raise Conflict(
                f"id={table.id}: another table is stored under this id; tables are never replaced",
                field="id",
                value=str(table.id),
            )
        return tables.find(session, table.id)
    device, environment = table.device, table.environment
    insert_missing(
        session,
        EnvironmentRow,
        [{"digest": environment.digest, "body": canonical_json(environment.model_dump(mode="json"))}],
    )
    known = {
        "uuid": device.uuid,
        "name": device.name,
        "kind": device.kind,
        "body": canonical_json(device.model_dump(mode="json")),
        "environment": environment.digest,
        "agent": "imported table",
        "first_seen": now,
        "heartbeat_at": table.created_at,
    }
    insert_missing(session, DeviceRow, [known])
    operations.add(session, (row.operation for row in table.rows))
    session.add(tables.new_row(table))
    session.flush()
    return tables.find(session, table.id)


def _check(table: LatencyTable, now: datetime) -> None:
    if table.created_at > now + CLOCKS_DIFFER:
        raise Unprocessable(
            f"created_at={table.created_at.isoformat()}: is in the future, it would be the newest table until then",
            field="created_at",
            value=table.created_at.isoformat(),
        )
    seen: set[str] = set()
    for row in table.rows:
        spec = row.operation
        if (spec.space, spec.space_digest) != (table.space, table.space_digest):
            raise Unprocessable(f"rows: {spec} is not of space {table.space!r} with the table's space_digest")
        if spec.digest in seen:
            raise Unprocessable(f"rows: {spec} stands twice")
        seen.add(spec.digest)
