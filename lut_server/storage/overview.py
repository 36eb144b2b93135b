"""The newest of everything, bounded, for the web page."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from latency_tables.contract import DeviceRecord, Job, NetworkRecord, TableSummary
from lut_server.analysis.likeness import Conditions
from lut_server.storage import devices, health, jobs, networks, tables
from lut_server.storage.models import DeviceRow, JobRow, LatencyTableRow, LeaseRow, NetworkRow

ACTIVE_JOBS = 50
ENDED_JOBS = 20
DEVICES = 200
TABLES = 200
NETWORKS = 50


class Queue(NamedTuple):
    """`running` and `queued` oldest first, `ended` newest first.

    `counts`: of all jobs by state. `ran_on`: the name of the device that each job runs or ran on.
    """

    running: Sequence[Job]
    queued: Sequence[Job]
    ended: Sequence[Job]
    counts: dict[str, int]
    ran_on: dict[UUID, str]


def queue(session: Session) -> Queue:
    """Jobs, and for those that run the name of the device they run on."""
    counts = dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all())
    running, queued = (
        session.scalars(select(JobRow).where(JobRow.state == state).order_by(JobRow.sequence).limit(ACTIVE_JOBS)).all()
        for state in ("leased", "queued")
    )
    ended = session.scalars(
        select(JobRow)
        .where(JobRow.state.in_(("done", "failed", "cancelled")))
        .order_by(JobRow.updated_at.desc(), JobRow.sequence.desc())
        .limit(ENDED_JOBS)
    ).all()
    ran_on = (
        select(LeaseRow.job_id, DeviceRow.name)
        .join(DeviceRow, DeviceRow.uuid == LeaseRow.device)
        .where(LeaseRow.job_id.in_([row.id for row in (*running, *ended)]))
        .order_by(LeaseRow.created_at)
    )
    return Queue(
        running=[jobs.read(row) for row in running],
        queued=[jobs.read(row) for row in queued],
        ended=[jobs.read(row) for row in ended],
        counts=counts,
        ran_on=dict(session.execute(ran_on).all()),
    )


def newest_devices(session: Session, now: datetime) -> list[DeviceRecord]:
    """Devices, the last heard of first, with the health of their newest tables."""
    rows = session.scalars(select(DeviceRow).order_by(DeviceRow.heartbeat_at.desc(), DeviceRow.uuid).limit(DEVICES))
    return health.with_newest_tables(session, [devices.get(session, row.uuid) for row in rows.all()], now)


def device_names(session: Session) -> dict[str, str]:
    return dict(session.execute(select(DeviceRow.uuid, DeviceRow.name)).all())


def newest_tables(session: Session) -> list[TableSummary]:
    rows = session.scalars(select(LatencyTableRow).order_by(*tables.NEWEST_FIRST).limit(TABLES)).all()
    return [tables.find(session, row.id) for row in rows]


def newest_networks(session: Session) -> list[NetworkRecord]:
    rows = session.scalars(select(NetworkRow).order_by(NetworkRow.sequence.desc()).limit(NETWORKS)).all()
    return [networks.get(session, row.digest) for row in rows]


def conditions(session: Session, table: TableSummary) -> Conditions:
    """Under which a table was measured."""
    environment = devices.environment(session, table.environment)
    return Conditions(table.device, environment, table.method_version, table.runtime)
