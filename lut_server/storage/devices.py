"""Devices and their environments."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from latency_tables.contract import (
    Capability,
    Device,
    DeviceRecord,
    DeviceReport,
    DeviceVisibility,
    Environment,
    Page,
    Runtime,
)
from lut_server.errors import Conflict, NotFound, Unprocessable
from lut_server.storage.database import insert_missing, select_in
from lut_server.storage.models import DeviceRow, EnvironmentRow, LatencyTableRow, LeaseRow, MeasurementRow

SHOWN = 20
_WORKS = TypeAdapter(tuple[Capability, ...])


def register(session: Session, report: DeviceReport, now: datetime) -> DeviceRecord:
    """Store a device and its environment; registering again updates what may change."""
    columns = add_missing(session, report, now, now)
    row = session.get_one(DeviceRow, report.device.uuid, with_for_update=True)
    for name, value in columns.items():
        setattr(row, name, value)
    session.flush()
    return records(session, [row])[0]


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
        **({"works": _WORKS.dump_json(report.works).decode()} if report.works is not None else {}),
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
    return records(session, [row])[0]


def find(session: Session, uuid_or_name: str) -> Device:
    """The device with this uuid, or the only one with this name (case does not matter)."""
    row = session.get(DeviceRow, uuid_or_name)
    if row is None:
        named = session.scalars(select(DeviceRow).where(DeviceRow.folded_name == uuid_or_name.casefold())).all()
        # One that an administrator hid, like a container's that is gone, does not make a name ambiguous.
        named = [device for device in named if not device.hidden] or named
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


def of_uuids(session: Session, uuids: Iterable[str]) -> dict[str, Device]:
    """Devices by their uuids, those that are known."""
    bodies = select_in(session, select(DeviceRow.uuid, DeviceRow.body), DeviceRow.uuid, uuids)
    return {uuid: Device.model_validate_json(body) for uuid, body in bodies}


def environment(session: Session, digest: str) -> Environment:
    """The environment with this digest.

    Raises:
        NotFound: no device ever reported it.
    """
    row = session.get(EnvironmentRow, digest)
    if row is None:
        raise unknown_environment(digest)
    return Environment.model_validate_json(row.body)


def environments(session: Session, digests: Iterable[str]) -> dict[str, Environment]:
    """Environments by their digests, those that are known."""
    bodies = select_in(session, select(EnvironmentRow.digest, EnvironmentRow.body), EnvironmentRow.digest, digests)
    return {digest: Environment.model_validate_json(body) for digest, body in bodies}


def page(session: Session, after: str | None, limit: int, *, hidden: bool = False) -> Page[DeviceRecord]:
    """Devices in the order of their uuids; hidden ones only with `hidden`."""
    query = select(DeviceRow) if hidden else select(DeviceRow).where(DeviceRow.hidden.is_(False))
    if after is not None:
        query = query.where(DeviceRow.uuid > after)
    rows = session.scalars(query.order_by(DeviceRow.uuid).limit(limit + 1)).all()
    items = records(session, rows[:limit])
    return Page(items=tuple(items), next=items[-1].device.uuid if len(rows) > limit else None)


def set_visibility(session: Session, uuid: str, visibility: DeviceVisibility) -> DeviceRecord:
    """Hide a device, or show it again. Its tables stay; while it is hidden it is in no list and takes no jobs."""
    row = session.get(DeviceRow, uuid, with_for_update=True)
    if row is None:
        raise unknown(session, "uuid", uuid)
    row.hidden = visibility.hidden
    session.flush()
    return records(session, [row])[0]


def remove(session: Session, uuid: str) -> None:
    """Forget a device that measured nothing.

    Raises:
        Conflict: it has tables, measurements or leases: what was measured is never deleted. Hide it instead.
    """
    row = session.get(DeviceRow, uuid, with_for_update=True)
    if row is None:
        raise unknown(session, "uuid", uuid)
    for model in (LatencyTableRow, MeasurementRow, LeaseRow):
        if session.scalar(select(exists().where(model.device == uuid))):
            raise Conflict(
                f"uuid={uuid!r}: {row.name} has measured, and results are never deleted. Hide it instead: "
                f"PUT /v1/devices/{uuid}/visibility, or: lut-server device hide {uuid}",
                field="uuid",
                value=uuid,
            )
    session.delete(row)
    session.flush()


def why_not(row: DeviceRow, runtime: Runtime) -> str | None:
    """Why a device cannot execute a runtime, as its agent found; None if it can, or nobody has looked."""
    works = _works(row) or ()
    asked = [known for known in works if (known.mode, known.precision) == (runtime.mode, runtime.precision)]
    if not asked or asked[0].reason is None:
        return None
    able = [f"{known.mode} {known.precision}" for known in works if known.reason is None]
    return f"{row.name} cannot: {asked[0].reason}. It has {', '.join(able) or 'nothing that works'}"


def in_words(rows: Iterable[DeviceRow]) -> str:
    return "; ".join(f"{row.name} ({row.uuid})" for row in islice(rows, SHOWN))


def unknown_environment(digest: str) -> NotFound:
    """The error for an environment that no device reported."""
    return NotFound(
        f"environment={digest!r}: no device reported it; register the device with this environment first",
        field="environment",
        value=digest,
    )


def unknown(session: Session, field: str, value: str) -> NotFound:
    """The error for a device that is not registered; it names those that are."""
    visible = select(DeviceRow.uuid, DeviceRow.name).where(DeviceRow.hidden.is_(False))
    rows = session.execute(visible.order_by(DeviceRow.uuid).limit(SHOWN)).all()
    names = "; ".join(f"{name} ({uuid})" for uuid, name in rows)
    return NotFound(
        f"{field}={value!r}: no such device. "
        + (f"Devices there are: {names}" if names else "No device is registered yet: start an agent on one"),
        field=field,
        value=value,
        known=[uuid for uuid, _ in rows],
    )


def records(session: Session, rows: Sequence[DeviceRow]) -> list[DeviceRecord]:
    """The devices of rows, in their order, by two queries for 500 of them."""
    uuids, digests = [row.uuid for row in rows], {row.environment for row in rows}
    of_digest = environments(session, digests)
    counts = select(LatencyTableRow.device, func.count()).group_by(LatencyTableRow.device)
    tables = dict(select_in(session, counts, LatencyTableRow.device, uuids))
    return [
        DeviceRecord(
            device=Device.model_validate_json(row.body),
            environment=of_digest[row.environment],
            agent=row.agent,
            first_seen=row.first_seen,
            heartbeat_at=row.heartbeat_at,
            tables=tables.get(row.uuid, 0),
            works=_works(row),
            hidden=row.hidden,
        )
        for row in rows
    ]


def _works(row: DeviceRow) -> tuple[Capability, ...] | None:
    return None if row.works is None else _WORKS.validate_json(row.works)
