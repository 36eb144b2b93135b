"""Devices and their environments."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from latency_tables.contract import Device, DeviceRecord, DeviceReport, Environment, Page
from lut_server.errors import NotFound, Unprocessable
from lut_server.storage import paging
from lut_server.storage.database import insert_missing
from lut_server.storage.models import DeviceRow, EnvironmentRow, LatencyTableRow

SHOWN = 20


def register(session: Session, report: DeviceReport, now: datetime) -> DeviceRecord:
    """Store a device and its environment; registering again updates what may change."""
    columns = add_missing(session, report, now, now)
    row = session.get_one(DeviceRow, report.device.uuid, with_for_update=True)
    for name, value in columns.items():
        setattr(row, name, value)
    session.flush()
    return _record(session, row)


def add_missing(session: Session, report: DeviceReport, first_seen: datetime, heartbeat_at: datetime) -> dict[str, Any]:
    """Store a device and its environment if they are not known yet; the columns that a new report may change."""
    device, environment = report.device, report.environment
    add_environment(session, environment)
    columns = {
        "name": device.name,
        "folded_name": device.name.casefold(),
        "kind": device.kind,
        "body": device.canonical,
        "environment": environment.digest,
        "agent": report.agent,
        "heartbeat_at": heartbeat_at,
    }
    insert_missing(session, DeviceRow, [{"uuid": device.uuid, "first_seen": first_seen, **columns}])
    return columns


def add_environment(session: Session, environment: Environment) -> str:
    """Store an environment if it is not known yet; its digest."""
    insert_missing(session, EnvironmentRow, [{"digest": environment.digest, "body": environment.canonical}])
    return environment.digest


def get(session: Session, uuid: str) -> DeviceRecord:
    row = session.get(DeviceRow, uuid)
    if row is None:
        raise unknown(session, "uuid", uuid)
    return _record(session, row)


def find(session: Session, uuid_or_name: str) -> Device:
    """The device with this uuid, or the only one with this name (case does not matter)."""
    row = session.get(DeviceRow, uuid_or_name)
    if row is None:
        named = session.scalars(select(DeviceRow).where(DeviceRow.folded_name == uuid_or_name.casefold())).all()
        if not named:
            raise unknown(session, "device", uuid_or_name)
        if len(named) > 1:
            uuids = sorted(other.uuid for other in named)
            raise Unprocessable(
                f"device={uuid_or_name!r}: {len(named)} devices have this name; give one of their uuids: "
                + ", ".join(uuids[:SHOWN]),
                field="device",
                value=uuid_or_name,
                known=uuids,
            )
        row = named[0]
    return Device.model_validate_json(row.body)


def environment(session: Session, digest: str) -> Environment:
    """The environment with this digest.

    Raises:
        NotFound: no device ever reported it.
    """
    row = session.get(EnvironmentRow, digest)
    if row is None:
        raise unknown_environment(digest)
    return Environment.model_validate_json(row.body)


def page(session: Session, after: str | None, limit: int) -> Page[DeviceRecord]:
    return paging.page(session, select(DeviceRow), DeviceRow.uuid, after, limit, lambda row: _record(session, row))


def unknown_environment(digest: str) -> NotFound:
    """The error for an environment that no device reported."""
    return NotFound(
        f"environment={digest!r}: no device reported it; register the device with this environment first",
        field="environment",
        value=digest,
    )


def unknown(session: Session, field: str, value: str) -> NotFound:
    """The error for a device that is not registered; it names those that are."""
    rows = session.execute(select(DeviceRow.uuid, DeviceRow.name).order_by(DeviceRow.uuid).limit(SHOWN)).all()
    names = "; ".join(f"{name} ({uuid})" for uuid, name in rows)
    return NotFound(
        f"{field}={value!r}: no such device. "
        + (f"Devices there are: {names}" if names else "No device is registered yet: start an agent on one"),
        field=field,
        value=value,
        known=[uuid for uuid, _ in rows],
    )


def _record(session: Session, row: DeviceRow) -> DeviceRecord:
    return DeviceRecord(
        device=Device.model_validate_json(row.body),
        environment=environment(session, row.environment),
        agent=row.agent,
        first_seen=row.first_seen,
        heartbeat_at=row.heartbeat_at,
        tables=session.scalar(
            select(func.count()).select_from(LatencyTableRow).where(LatencyTableRow.device == row.uuid)
        )
        or 0,
    )
