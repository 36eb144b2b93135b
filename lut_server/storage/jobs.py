"""Jobs: what is to be measured, and how far it is."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.contract import Job, JobRequest, JobState, Page, Progress
from lut_server.errors import Conflict, NotFound
from lut_server.storage import devices, networks, operations, paging
from lut_server.storage.database import insert_missing
from lut_server.storage.models import DeviceRow, JobKeyRow, JobRow


def submit(session: Session, id: UUID, request: JobRequest, now: datetime) -> Job:
    """Queue a job; the same id with the same request is the same job.

    Raises:
        NotFound: the selector names a device that is not registered.
        Conflict: the id belongs to another request.
    """
    if not session.scalar(select(JobRow.sequence).where(JobRow.id == id)):
        _require_device(session, request)
        networks.add(session, request.networks, now)
        operations.add(session, request.operations)
        insert_missing(session, JobRow, [_new(id, request, now)])
        keys = [{"job_id": id, "key": key, "position": position} for position, key in enumerate(request.keys)]
        insert_missing(session, JobKeyRow, keys)
    row = load(session, id)
    if row.digest != request.digest:
        raise Conflict(f"id={id}: another job has this id already; make a new one (UUIDv7)", field="id", value=str(id))
    return read(row, request)


def get(session: Session, id: UUID) -> Job:
    return read(load(session, id))


def page(session: Session, state: JobState | None, after: str | None, limit: int) -> Page[Job]:
    query = select(JobRow)
    if state is not None:
        query = query.where(JobRow.state == state)
    return paging.page(session, query, JobRow.sequence, after, limit, read)


def cancel(session: Session, id: UUID, now: datetime) -> Job:
    """Take a job out of the queue, or out of its agent's hands at the next renewal.

    Raises:
        Conflict: it is done or failed already.
    """
    row = load(session, id, for_update=True)
    if row.state in ("done", "failed"):
        raise Conflict(f"id={id}: this job is {row.state} already", field="id", value=str(id))
    if row.state != "cancelled":
        row.state = "cancelled"
        row.updated_at = now
    return read(row)


def load(session: Session, id: UUID, *, for_update: bool = False) -> JobRow:
    query = select(JobRow).where(JobRow.id == id)
    row = session.scalars(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise NotFound(f"id={id}: no such job; GET /v1/jobs lists those there are", field="id", value=str(id))
    return row


def read(row: JobRow, request: JobRequest | None = None) -> Job:
    """A row as a job; pass `request` if it is parsed already."""
    return Job.model_validate(
        {
            "id": row.id,
            "request": request or JobRequest.model_validate_json(row.body),
            "state": row.state,
            "progress": Progress.model_validate_json(row.progress),
            "attempts": row.attempts,
            "error": row.error,
            "table_id": row.table_id,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )


def _new(id: UUID, request: JobRequest, now: datetime) -> dict[str, object]:
    return {
        "id": id,
        "digest": request.digest,
        "body": request.canonical,
        "device_uuid": request.device.uuid,
        "device_name": request.device.name and request.device.name.casefold(),
        "device_kind": request.device.kind,
        "runtime": request.runtime.digest,
        "state": "queued",
        "progress": Progress(done=0, total=len(request.keys)).model_dump_json(),
        "attempts": 0,
        "created_at": now,
        "updated_at": now,
    }


def _require_device(session: Session, request: JobRequest) -> None:
    uuid, name = request.device.uuid, request.device.name
    if uuid is not None and session.get(DeviceRow, uuid) is None:
        raise devices.unknown(session, "device.uuid", uuid)
    named = select(DeviceRow.uuid).where(DeviceRow.folded_name == (name or "").casefold()).limit(1)
    if name is not None and session.scalar(named) is None:
        raise devices.unknown(session, "device.name", name)
