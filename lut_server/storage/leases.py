"""Leases: which device works on which job, by the server's clock alone.

Requests lock device, lease and job in different orders. If two wait for each other, PostgreSQL ends one of them: a 503
and a retry.
"""

import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from latency_tables.contract import (
    Completion,
    Environment,
    Job,
    JobRequest,
    LatencyTable,
    Lease,
    LeaseRenewal,
    LeaseRequest,
    Progress,
    sha256,
)
from lut_server.errors import Conflict, LeaseEnded, NotFound
from lut_server.storage import devices, jobs, measurements, tables
from lut_server.storage.models import DeviceRow, JobRow, LeaseRow

LEASE = timedelta(seconds=120)
RENEW_EVERY_S = 20.0
MAX_ATTEMPTS = 3
MISSING_SHOWN = 5
ENDED = ("done", "failed", "cancelled")


def claim(session: Session, request: LeaseRequest, now: datetime) -> Lease | None:
    """Lease the oldest job that this device may take; None if there is none or the device has a lease.

    The same lease id gets the same lease again while it is active, with a fresh token that replaces the first: the
    first answer was lost on its way.

    Raises:
        NotFound: the device or the environment is not registered.
        Conflict: the lease id was used for something else.
    """
    device = session.get(DeviceRow, request.device, with_for_update=True)
    if device is None:
        raise devices.unknown(session, "device", request.device)
    environment = devices.environment(session, request.environment)
    device.heartbeat_at = now
    expire(session, now)
    lease = session.get(LeaseRow, request.id)
    if lease is not None:
        leased = jobs.load(session, lease.job_id)
        asked = JobRequest.model_validate_json(leased.body)
        _require_same(lease, request, environment.of_mode(asked.runtime.mode))
        return _hand_out(session, lease, leased, asked)
    if device.hidden or session.scalar(_active_on(device.uuid)) is not None:
        return None
    job = session.scalars(
        _queued_for(device).order_by(JobRow.sequence).limit(1).with_for_update(skip_locked=True)
    ).one_or_none()
    if job is None:
        return None
    job.state = "leased"
    job.attempts += 1
    job.updated_at = job.started_at = now
    job.ran_on = device.uuid
    asked = JobRequest.model_validate_json(job.body)
    lease = LeaseRow(
        id=request.id,
        job_id=job.id,
        device=device.uuid,
        environment=devices.add_environment(session, environment.of_mode(asked.runtime.mode)),
        method_version=request.method_version,
        state="active",
        created_at=now,
        expires_at=now + LEASE,
    )
    answer = _hand_out(session, lease, job, asked)
    session.add(lease)
    return answer


def with_work(session: Session, uuids: Collection[str]) -> list[str]:
    """Which of the devices could claim a job now; at most as many as there are queued jobs."""
    queued = session.scalar(select(func.count()).select_from(JobRow).where(JobRow.state == "queued")) or 0
    query = select(DeviceRow.uuid).where(
        DeviceRow.uuid.in_(uuids),
        DeviceRow.hidden.is_(False),
        ~_active_on(DeviceRow.uuid).exists(),
        _queued_for(DeviceRow).exists(),
    )
    return list(session.scalars(query.order_by(DeviceRow.heartbeat_at).limit(queued)))


def renew(session: Session, id: UUID, token: str, progress: Progress, now: datetime) -> LeaseRenewal:
    lease = _load(session, id, token)
    _require_active(lease, now)
    lease.expires_at = now + LEASE
    session.get_one(DeviceRow, lease.device).heartbeat_at = now
    job = jobs.load(session, lease.job_id, for_update=True)
    if job.state == "leased":
        job.progress = progress.model_dump_json()
        job.updated_at = now
    return LeaseRenewal(expires_at=lease.expires_at, cancelled=job.state == "cancelled")


def give_back(session: Session, id: UUID, token: str, now: datetime) -> None:
    lease = _load(session, id, token)
    if lease.state == "released":
        return
    _require_active(lease, now)
    lease.state = "released"
    job = jobs.load(session, lease.job_id, for_update=True)
    if job.state == "leased":
        job.state = "queued"
        job.attempts -= 1
        job.updated_at = now


def about_to_finish(
    session: Session, id: UUID, token: str, completion: Completion
) -> tuple[LeaseRow, JobRequest] | None:
    """The lease and the request of its job, if this completion would end the job as done; locks nothing.

    Raises:
        NotFound: no such lease.
        LeaseEnded: the token is another claim's.
    """
    lease = _load(session, id, token, for_update=False)
    job = jobs.load(session, lease.job_id)
    if completion.error or lease.completion is not None or lease.state == "released" or job.state in ENDED:
        return None
    request = JobRequest.model_validate_json(job.body)
    return None if measurements.remaining(session, job, lease, request) else (lease, request)


def complete(
    session: Session,
    id: UUID,
    token: str,
    completion: Completion,
    now: datetime,
    drafted: LatencyTable | None = None,
) -> Job:
    """End a lease and its job. A lease that expired still completes its job if no other attempt has.

    `drafted`: the table that the job ends in, if it was drafted before; it keeps its id.

    Raises:
        Conflict: keys are missing, or this lease was completed otherwise.
        LeaseEnded: the job ended otherwise, or a failure is reported by a lease that had expired.
    """
    lease = _load(session, id, token)
    job = jobs.load(session, lease.job_id, for_update=True)
    body = completion.model_dump_json()
    if lease.completion is not None:
        if lease.completion != body:
            raise Conflict(f"lease {id} was completed otherwise: {lease.completion}", field="error")
        return jobs.read(job)
    late = lease.state != "active" or lease.expires_at <= now
    if lease.state == "released" or job.state in ("done", "failed") or (late and completion.error):
        raise LeaseEnded(f"lease {id} has ended and its job is {job.state}; claim another one")
    request = JobRequest.model_validate_json(job.body)
    if job.state != "cancelled":
        if completion.error:
            job.state = "failed"
            job.error = completion.error
        else:
            _finish(session, lease, job, request, now, drafted)
        job.updated_at = now
        _end_others(session, lease)
    if lease.state == "active":
        lease.state = "completed"
    lease.completion = body
    return jobs.read(job, request)


def device_of(session: Session, id: UUID) -> str:
    """The device that a lease was given to."""
    device = session.scalar(select(LeaseRow.device).where(LeaseRow.id == id))
    if device is None:
        raise _unknown(id)
    return device


def overdue(session: Session, now: datetime) -> bool:
    return session.scalar(select(_overdue(now).exists())) is True


def expire(session: Session, now: datetime) -> None:
    """End the leases that were not renewed: their jobs return to the queue, or fail after too many attempts."""
    for lease in session.scalars(_overdue(now).order_by(LeaseRow.id).with_for_update(skip_locked=True)).all():
        lease.state = "expired"
        job = jobs.load(session, lease.job_id, for_update=True)
        if job.state != "leased":
            continue
        job.updated_at = now
        job.state = "queued"
        if job.attempts >= MAX_ATTEMPTS:
            job.state = "failed"
            job.error = (
                f"{job.attempts} attempts ended without a result; the last agent, on device {lease.device}, "
                f"did not renew its lease until {lease.expires_at:%Y-%m-%d %H:%M:%S} UTC. See that agent's log"
            )
    session.flush()  # before a new active lease is inserted: only one may be active


def _finish(
    session: Session,
    lease: LeaseRow,
    job: JobRow,
    request: JobRequest,
    now: datetime,
    drafted: LatencyTable | None,
) -> None:
    missing = set(measurements.remaining(session, job, lease, request))
    if missing:
        operations = [str(operation) for operation in request.operations if operation.digest in missing]
        names = operations or sorted(missing)
        raise Conflict(
            f"{len(missing)} of {len(request.keys)} keys are not measured yet on {lease.device} in this environment "
            f"and by method {lease.method_version}: {'; '.join(names[:MISSING_SHOWN])}"
            f"{'; …' if len(names) > MISSING_SHOWN else ''}. Send their measurements, then complete",
            missing=sorted(missing),
        )
    if request.operations:
        job.table_id = tables.build(session, request, lease, now, drafted, job.requested_by)
    job.state = "done"
    job.missing = measurements.measured_since(session, job)
    job.progress = Progress(done=len(request.keys), total=len(request.keys)).model_dump_json()


def _end_others(session: Session, lease: LeaseRow) -> None:
    query = select(LeaseRow).where(LeaseRow.job_id == lease.job_id, LeaseRow.id != lease.id, LeaseRow.state == "active")
    for other in session.scalars(query.with_for_update()):
        other.state = "superseded"


def _hand_out(session: Session, lease: LeaseRow, job: JobRow, request: JobRequest) -> Lease:
    token = secrets.token_urlsafe(32)
    lease.token_digest = sha256(token)
    leased = jobs.read(job, request)
    remaining = tuple(measurements.remaining(session, job, lease, leased.request))
    job.missing = len(remaining)
    return Lease(
        id=lease.id,
        token=token,
        job=leased,
        remaining=remaining,
        expires_at=lease.expires_at,
        renew_every_s=RENEW_EVERY_S,
    )


def _load(session: Session, id: UUID, token: str, *, for_update: bool = True) -> LeaseRow:
    lease = session.get(LeaseRow, id, with_for_update=for_update)
    if lease is None:
        raise _unknown(id)
    if not hmac.compare_digest(lease.token_digest, sha256(token)):
        raise LeaseEnded(f"lease {id}: this Lease-Token is not valid; a later claim holds the lease")
    return lease


def _unknown(id: UUID) -> NotFound:
    return NotFound(f"id={id}: no such lease; claim one", field="id", value=str(id))


def _require_active(lease: LeaseRow, now: datetime) -> None:
    if lease.state != "active" or lease.expires_at <= now:
        state = "expired" if lease.state == "active" else lease.state
        raise LeaseEnded(f"lease {lease.id} is {state}; stop working on its job and claim another one")


def _require_same(lease: LeaseRow, request: LeaseRequest, environment: Environment) -> None:
    same = (lease.device, lease.environment, lease.method_version)
    if lease.state != "active" or same != (request.device, environment.digest, request.method_version):
        raise Conflict(
            f"id={lease.id}: this id was used for another claim; make a new one (UUIDv7)",
            field="id",
            value=str(lease.id),
        )


def _overdue(now: datetime) -> Select[LeaseRow]:
    return select(LeaseRow).where(LeaseRow.state == "active", LeaseRow.expires_at <= now)


def _active_on(uuid: str | InstrumentedAttribute[str]) -> Select[UUID]:
    return select(LeaseRow.id).where(LeaseRow.device == uuid, LeaseRow.state == "active")


def _queued_for(device: DeviceRow | type[DeviceRow]) -> Select[JobRow]:
    return select(JobRow).where(
        JobRow.state == "queued",
        or_(JobRow.device_uuid.is_(None), JobRow.device_uuid == device.uuid),
        or_(JobRow.device_name.is_(None), JobRow.device_name == device.folded_name),
        or_(JobRow.device_kind.is_(None), JobRow.device_kind == device.kind),
    )
