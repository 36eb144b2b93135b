"""Jobs: what is to be measured, and how far it is."""

import json
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, undefer

from latency_tables.contract import (
    Contract,
    Count,
    DeviceSelector,
    Forecast,
    Job,
    JobRequest,
    JobState,
    Name,
    Positive,
    Progress,
    Runtime,
    Shape,
    Waiting,
    remaining_s,
)
from lut_server.errors import Conflict, NotFound, Unprocessable
from lut_server.storage import devices, forecasts, measurements, networks, operations, paging
from lut_server.storage.database import insert_missing
from lut_server.storage.models import DeviceRow, JobKeyRow, JobRow, LeaseRow

MAX_ABLE = 100


class JobBrief(Contract):
    """What lists say of a request; `operations` and `networks` count them."""

    device: DeviceSelector
    runtime: Runtime
    space: Name
    operations: Count
    networks: Count
    largest_input: Shape
    budget_s: Positive | None

    @classmethod
    def of(cls, request: JobRequest) -> "JobBrief":
        return cls(
            device=request.device,
            runtime=request.runtime,
            space=request.space,
            operations=len(request.operations),
            networks=len(request.networks),
            largest_input=request.largest_input,
            budget_s=request.effort.budget_s,
        )

    def __str__(self) -> str:
        count, noun = (self.networks, "network") if self.networks else (self.operations, "operation")
        return f"{'measure' if self.networks else 'profile'} {count} {noun}{'s' * (count != 1)}, {self.space}"


class ListedJob(NamedTuple):
    """A job as lists show it, without its request; `ran_on` is the name of the device that leased it last."""

    id: UUID
    brief: JobBrief
    state: JobState
    progress: Progress
    attempts: int
    error: str | None
    updated_at: datetime
    requested_by: str | None
    ran_on: str | None
    started_at: datetime | None
    forecast: Forecast | None

    def left_s(self, now: datetime) -> float | None:
        """Seconds until the end of a leased job; None if nothing tells."""
        if self.state != "leased" or self.started_at is None:
            return None
        takes_s = self.forecast.takes_s if self.forecast else None
        return remaining_s(self.progress, (now - self.started_at).total_seconds(), takes_s)


def submit(session: Session, id: UUID, request: JobRequest, now: datetime, requested_by: str | None = None) -> Job:
    """Queue a job; the same id with the same request is the same job.

    Raises:
        NotFound: the selector names a device that is not registered.
        Unprocessable: no device that it names can do this, as their agents found, or an administrator hid them.
        Conflict: the id belongs to another request.
    """
    if not session.scalar(select(JobRow.sequence).where(JobRow.id == id)):
        _require_device(session, request)
        missing = _missing(session, request, _only_device(session, request.device))
        networks.add(session, request.networks, now)
        operations.add(session, request.operations)
        insert_missing(session, JobRow, [_new(id, request, missing, now, requested_by)])
        keys = [{"job_id": id, "key": key, "position": position} for position, key in enumerate(request.keys)]
        insert_missing(session, JobKeyRow, keys)
    row = load(session, id)
    if row.digest != request.digest:
        raise Conflict(f"id={id}: another job has this id already; make a new one (UUIDv7)", field="id", value=str(id))
    return read(row, request)


def forecast(session: Session, request: JobRequest, now: datetime) -> Forecast:
    """What a job would do if it were queued now. Raises as `submit` does."""
    _require_device(session, request)
    device = _only_device(session, request.device)
    brief = JobBrief.of(request).model_dump(mode="json")
    task = forecasts.Task(
        device.uuid if device else None, request.runtime.digest, brief, _missing(session, request, device)
    )
    return forecasts.of_new(session, task, now)


def get(session: Session, id: UUID, now: datetime) -> str:
    """A Job as JSON; one that is queued says what it waits for."""
    row = load(session, id)
    expected = forecasts.of_jobs(session, [row], now).get(row.sequence)
    return _written(row, expected, _waiting(session, row) if row.state == "queued" else None)


def page(session: Session, state: JobState | None, after: str | None, limit: int, now: datetime) -> str:
    """A Page of jobs as JSON; fewer than `limit` where their requests are large."""
    query = select(JobRow).options(undefer(JobRow.body))
    if state is not None:
        query = query.where(JobRow.state == state)
    rows, next = paging.take(session, query, JobRow.sequence, after, limit, weigh=lambda row: len(row.body))
    expected = forecasts.of_jobs(session, rows, now)
    items = ",".join(_written(row, expected.get(row.sequence)) for row in rows)
    return f'{{"items":[{items}],"next":{json.dumps(next)}}}'


def _written(row: JobRow, forecast: Forecast | None, waiting: Waiting | None = None) -> str:
    """A Job as JSON. Its request goes out as it was stored: to parse one of 10 000 operations takes half a second."""
    brief = JobBrief.model_validate_json(row.brief)
    rest = {
        "id": str(row.id),
        "state": row.state,
        "progress": json.loads(row.progress),
        "attempts": row.attempts,
        "error": row.error,
        "table_id": None if row.table_id is None else str(row.table_id),
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
        "requested_by": row.requested_by,
        "largest_input": brief.largest_input,
        "started_at": row.started_at and row.started_at.isoformat(),
        "forecast": forecast and forecast.model_dump(mode="json"),
        "waiting": waiting and waiting.model_dump(mode="json"),
    }
    return f'{json.dumps(rest, separators=(",", ":"))[:-1]},"request":{row.body}}}'


def listed(session: Session, query: Select[JobRow], now: datetime) -> list[ListedJob]:
    """The jobs of a query, without their requests."""
    rows = session.scalars(query).all()
    ran_on = {row.ran_on for row in rows if row.ran_on is not None}
    names = dict(session.execute(select(DeviceRow.uuid, DeviceRow.name).where(DeviceRow.uuid.in_(ran_on))).all())
    expected = forecasts.of_jobs(session, rows, now)
    return [
        ListedJob(
            id=row.id,
            brief=JobBrief.model_validate_json(row.brief),
            state=cast(JobState, row.state),
            progress=Progress.model_validate_json(row.progress),
            attempts=row.attempts,
            error=row.error,
            updated_at=row.updated_at,
            requested_by=row.requested_by,
            ran_on=names.get(row.ran_on or ""),
            started_at=row.started_at,
            forecast=expected.get(row.sequence),
        )
        for row in rows
    ]


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
    query = select(JobRow).options(undefer(JobRow.body)).where(JobRow.id == id)
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
            "requested_by": row.requested_by,
            "largest_input": JobBrief.model_validate_json(row.brief).largest_input,
            "started_at": row.started_at,
        }
    )


def _new(id: UUID, request: JobRequest, missing: int, now: datetime, requested_by: str | None) -> dict[str, object]:
    return {
        "id": id,
        "digest": request.digest,
        "body": request.canonical,
        "brief": JobBrief.of(request).model_dump_json(),
        "requested_by": requested_by,
        "device_uuid": request.device.uuid,
        "device_name": request.device.name and request.device.name.casefold(),
        "device_kind": request.device.kind,
        "runtime": request.runtime.digest,
        "state": "queued",
        "progress": Progress(done=0, total=len(request.keys)).model_dump_json(),
        "attempts": 0,
        "missing": missing,
        "created_at": now,
        "updated_at": now,
    }


def _require_device(session: Session, request: JobRequest) -> None:
    """Refuse what no device can ever take: agents register what works on them."""
    uuid, name = request.device.uuid, request.device.name
    if uuid is not None and session.get(DeviceRow, uuid) is None:
        raise devices.unknown(session, "device.uuid", uuid)
    named = select(DeviceRow.uuid).where(DeviceRow.folded_name == (name or "").casefold()).limit(1)
    if name is not None and session.scalar(named) is None:
        raise devices.unknown(session, "device.name", name)
    able = session.scalars(_able(request.device).order_by(DeviceRow.uuid)).all()
    visible = [device for device in able if not device.hidden]
    if able and not visible:
        raise Unprocessable(
            f"device: {devices.in_words(able)}: hidden by an administrator, so no job comes to it. "
            "`lut-server device show UUID` shows it again",
            field="device",
        )
    reasons = [devices.why_not(device, request.runtime) for device in visible]
    if reasons and all(reasons):
        asked = f"{request.runtime.mode} {request.runtime.precision}"
        raise Unprocessable(f"runtime={asked}: {'; '.join(map(str, reasons[:3]))}", field="runtime", value=asked)


def _able(selector: DeviceSelector) -> Select[DeviceRow]:
    """The devices that a selector lets take a job."""
    query = select(DeviceRow)
    if selector.uuid is not None:
        query = query.where(DeviceRow.uuid == selector.uuid)
    if selector.name is not None:
        query = query.where(DeviceRow.folded_name == selector.name.casefold())
    return query.where(DeviceRow.kind == selector.kind) if selector.kind is not None else query


def _only_device(session: Session, selector: DeviceSelector) -> DeviceRow | None:
    """The only visible device that may take a job; None if there are several, or none."""
    able = session.scalars(_able(selector).where(DeviceRow.hidden.is_(False)).limit(2)).all()
    return able[0] if len(able) == 1 else None


def _missing(session: Session, request: JobRequest, device: DeviceRow | None) -> int:
    """How many keys of a request are not measured yet on a device as its agent last registered it."""
    if device is None:
        return len(request.keys)
    environment = devices.environment(session, device.environment).of_mode(request.runtime.mode)
    conditions = (device.uuid, environment.digest, request.runtime.digest)
    return len(
        set(request.keys) - measurements.known(session, request.keys, *conditions, sound=request.repeat_doubtful)
    )


def _waiting(session: Session, job: JobRow) -> Waiting:
    """What a queued job waits for: those before it on its devices, and what these measure now."""
    selector = JobBrief.model_validate_json(job.brief).device
    able = session.scalars(
        _able(selector).where(DeviceRow.hidden.is_(False)).order_by(DeviceRow.heartbeat_at.desc()).limit(MAX_ABLE)
    ).all()
    uuids, names, kinds = ({getattr(device, of) for device in able} for of in ("uuid", "folded_name", "kind"))
    ahead = session.scalar(
        select(func.count())
        .select_from(JobRow)
        .where(
            JobRow.state == "queued",
            JobRow.sequence < job.sequence,
            or_(JobRow.device_uuid.is_(None), JobRow.device_uuid.in_(uuids)),
            or_(JobRow.device_name.is_(None), JobRow.device_name.in_(names)),
            or_(JobRow.device_kind.is_(None), JobRow.device_kind.in_(kinds)),
        )
    )
    only = able[0] if len(able) == 1 else None
    busy = session.execute(
        select(JobRow.brief, LeaseRow.created_at)
        .join(LeaseRow, LeaseRow.job_id == JobRow.id)
        .where(LeaseRow.state == "active", LeaseRow.device == (only.uuid if only else None))
    ).one_or_none()
    return Waiting(
        position=(ahead or 0) + 1,
        device=only.name if only else None,
        seen_at=able[0].heartbeat_at if able else None,
        busy_with=str(JobBrief.model_validate_json(busy[0])) if busy else None,
        busy_since=busy[1] if busy else None,
    )
