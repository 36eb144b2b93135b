"""Measurements: append-only, each exactly once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, or_, select, true, update
from sqlalchemy.orm import Session

from latency_tables.contract import JobRequest, Measurement, Mode, Page, Precision, Receipt, Runtime, sha256
from lut_server.errors import Conflict, NotFound, Unprocessable
from lut_server.storage import devices, paging
from lut_server.storage.database import insert_missing, select_in
from lut_server.storage.models import DeviceRow, EnvironmentRow, JobKeyRow, JobRow, LeaseRow, MeasurementRow

Columns = Mapping[str, Any]
LAST_COUNTS = (MeasurementRow.sound, MeasurementRow.sequence)
"""Of several measurements the last in this order counts: the newest sound one, or the newest if none is sound."""
_STANDARD = ("device", "anchor", "environment", "runtime", "method_version")
"""Under equal ones there is one standard state."""

FEW = 50  # more keys than these are looked up by reading all of their job's


def put(session: Session, rows: Sequence[Columns], now: datetime) -> list[Receipt]:
    """Store all measurements or none; one that is stored already gets its first receipt again.

    Raises:
        NotFound: a job, device or environment is not known.
        Unprocessable: a key is not one of its job's, or an id is repeated.
        Conflict: another measurement is stored under an id.
    """
    ids = [row["id"] for row in rows]
    if len(set(ids)) != len(ids):
        repeated = next(id for id in ids if ids.count(id) > 1)
        raise Unprocessable(f"id={repeated}: is repeated in this batch; send it once", field="id", value=str(repeated))
    late = _check(session, rows, now)
    stamped = [{**row, "late": late[row["job_id"], row["device"]], "received_at": now} for row in rows]
    inserted = insert_missing(session, MeasurementRow, sorted(stamped, key=lambda row: row["id"]))
    _count(session, rows, inserted)
    if inserted == len(rows):
        return [Receipt.model_construct(id=row["id"], late=row["late"], received_at=now) for row in stamped]
    stored = _receipts(session, ids)
    for row in rows:
        if stored[row["id"]][0] != row["digest"]:
            raise Conflict(
                f"id={row['id']}: another measurement is stored under this id; results are never replaced, "
                "so send the new one under a new id (UUIDv7)",
                field="id",
                value=str(row["id"]),
            )
    return [stored[id][1] for id in ids]


def _count(session: Session, rows: Sequence[Columns], inserted: int) -> None:
    """Add what was stored to the counts of its devices."""
    by_device = Counter(row["device"] for row in rows)
    for device, sent in sorted(by_device.items()):
        count: Any = DeviceRow.measurements + (sent if inserted == len(rows) else inserted)
        if inserted < len(rows) and len(by_device) > 1:  # whose they were is not known
            count = select(func.count()).where(MeasurementRow.device == device).scalar_subquery()
        if inserted:
            session.execute(update(DeviceRow).where(DeviceRow.uuid == device).values(measurements=count))


def get(session: Session, id: UUID) -> Measurement:
    body = session.scalar(select(MeasurementRow.body).where(MeasurementRow.id == id))
    if body is None:
        raise NotFound(f"id={id}: no such measurement", field="id", value=str(id))
    return Measurement.model_validate_json(body)


def read_networks(session: Session, rows: Sequence[MeasurementRow]) -> list[Measurement]:
    """Rows as measurements, each restated at the standard state that its device has learned since.

    That is the least latency that its anchor has under its conditions: a state as fast as that has been seen.
    """
    columns = [getattr(MeasurementRow, name) for name in _STANDARD]
    beside_anchors = [row for row in rows if row.anchor is not None]
    query = (
        select(*columns, func.min(MeasurementRow.standard_us))
        .where(MeasurementRow.anchor.in_({row.anchor for row in beside_anchors}))
        .group_by(*columns)
    )
    found = select_in(session, query, MeasurementRow.device, {row.device for row in beside_anchors})
    least = {tuple(conditions): standard_us for *conditions, standard_us in found}
    read = [Measurement.model_validate_json(row.body) for row in rows]
    return [
        measurement.at_standard(least[tuple(getattr(row, name) for name in _STANDARD)]) if row.anchor else measurement
        for row, measurement in zip(rows, read, strict=True)
    ]


def page(
    session: Session, key: str | None, device: str | None, job_id: UUID | None, after: str | None, limit: int
) -> Page[Measurement]:
    query = select(MeasurementRow)
    if key is not None:
        query = query.where(MeasurementRow.key == key)
    if device is not None:
        query = query.where(MeasurementRow.device == devices.find(session, device).uuid)
    if job_id is not None:
        query = query.where(MeasurementRow.job_id == job_id)
    return paging.page(
        session,
        query,
        MeasurementRow.sequence,
        after,
        limit,
        lambda row: Measurement.model_validate_json(row.body),
        weigh=lambda row: len(row.body),
    )


def remaining(session: Session, job: JobRow, lease: LeaseRow, request: JobRequest) -> list[str]:
    """Keys of a job that are not measured yet on the lease's device, in its environment, by its method.

    If the job repeats doubtful measurements, a doubtful one counts only if it is the job's own: resuming the job
    repeats nothing.
    """
    counts = or_(MeasurementRow.sound, MeasurementRow.job_id == job.id) if request.repeat_doubtful else true()
    measured = exists().where(
        counts,
        MeasurementRow.key == JobKeyRow.key,
        MeasurementRow.device == lease.device,
        MeasurementRow.environment == lease.environment,
        MeasurementRow.runtime == job.runtime,
        MeasurementRow.method_version == lease.method_version,
    )
    query = select(JobKeyRow.key).where(JobKeyRow.job_id == job.id, ~measured).order_by(JobKeyRow.position)
    return list(session.scalars(query))


def measured_since(session: Session, job: JobRow) -> int:
    """How many keys a job has measured since it was leased last: results that came by another way took it no time."""
    query = select(func.count(MeasurementRow.key.distinct())).where(
        MeasurementRow.job_id == job.id,
        MeasurementRow.device == job.ran_on,
        MeasurementRow.received_at >= job.started_at,
    )
    return session.scalar(query) or 0


def known(
    session: Session, keys: Sequence[str], device: str, environment: str, runtime: str, *, sound: bool
) -> set[str]:
    """Which of the keys are measured under these conditions, by any method; with `sound` without doubt."""
    query = select(MeasurementRow.key).where(
        MeasurementRow.device == device,
        MeasurementRow.environment == environment,
        MeasurementRow.runtime == runtime,
    )
    if sound:
        query = query.where(MeasurementRow.sound)
    return {key for (key,) in select_in(session, query.distinct(), MeasurementRow.key, keys)}


def _receipts(session: Session, ids: Sequence[UUID]) -> dict[UUID, tuple[str, Receipt]]:
    """Digest and receipt of those measurements that are stored."""
    columns = (MeasurementRow.id, MeasurementRow.digest, MeasurementRow.late, MeasurementRow.received_at)
    return {
        id: (digest, Receipt(id=id, late=late, received_at=received_at))
        for id, digest, late, received_at in select_in(session, select(*columns), MeasurementRow.id, ids)
    }


def _check(session: Session, rows: Sequence[Columns], now: datetime) -> dict[tuple[UUID, str], bool]:
    """Whether results are late, by job and device; refuses rows whose job, key, device or environment is unknown."""
    late = {}
    for job_id, device, environment in {(row["job_id"], row["device"], row["environment"]) for row in rows}:
        on_time = exists().where(
            LeaseRow.job_id == job_id,
            LeaseRow.device == device,
            LeaseRow.state == "active",
            LeaseRow.expires_at > now,
        )
        known_device = exists().where(DeviceRow.uuid == device)
        known_environment = exists().where(EnvironmentRow.digest == environment)
        is_device, is_environment, is_on_time = session.execute(select(known_device, known_environment, on_time)).one()
        if not is_device:
            raise devices.unknown(session, "device", device)
        if not is_environment:
            raise devices.unknown_environment(environment)
        late[job_id, device] = not is_on_time
    for job_id in {job_id for job_id, _ in late}:
        _require_keys(session, job_id, {row["key"] for row in rows if row["job_id"] == job_id})
    return late


def _require_keys(session: Session, job_id: UUID, keys: set[str]) -> None:
    query = select(JobKeyRow.key).where(JobKeyRow.job_id == job_id)
    job_keys = session.scalars(query.where(JobKeyRow.key.in_(keys)) if len(keys) <= FEW else query)
    for key in sorted(keys.difference(job_keys)):
        if session.scalar(select(JobRow.sequence).where(JobRow.id == job_id)) is None:
            raise NotFound(f"job_id={job_id}: no such job; submit it first", field="job_id", value=str(job_id))
        raise Unprocessable(
            f"key={key!r}: not a key of job {job_id}; a key is the digest of one of its operations or of its network",
            field="key",
            value=key,
        )


def to_row(measurement: Measurement) -> Columns:
    """The columns of a measurement, without those that depend on when it is stored.

    Made before the transaction begins: SQLite takes one writer at a time.
    """
    body = measurement.model_dump_json(exclude_none=True)  # a field that is added later changes no stored digest
    runtime, anchor = measurement.runtime, measurement.anchor
    return {
        "id": measurement.id,
        "digest": sha256(body),
        "job_id": measurement.job_id,
        "key": measurement.key,
        "device": measurement.device,
        "environment": measurement.environment,
        "runtime": _runtime_digest(runtime.mode, runtime.precision, runtime.batch_size, runtime.threads),
        "method_version": measurement.method.version,
        "anchor": anchor and anchor.network,
        "standard_us": anchor and anchor.standard_us,
        "sound": measurement.quality.sound,
        "body": body,
    }


@lru_cache(maxsize=256)
def _runtime_digest(mode: Mode, precision: Precision, batch_size: int, threads: int | None) -> str:
    return Runtime(mode=mode, precision=precision, batch_size=batch_size, threads=threads).digest
