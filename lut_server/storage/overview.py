"""The newest of everything, in parts, for the web pages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from latency_tables.contract import DeviceRecord, TableSummary
from lut_server.analysis.likeness import Conditions
from lut_server.storage import devices, health, jobs, networks, tables
from lut_server.storage.database import select_in
from lut_server.storage.jobs import ListedJob
from lut_server.storage.models import DeviceRow, JobRow, LatencyTableRow, NetworkRow

Row = TypeVar("Row")
Item = TypeVar("Item")

ACTIVE_JOBS = 50
ENDED_JOBS = 20
DEVICES = 15
TABLES = 50
NETWORKS = 10
RESULTS = 12
"""Of each network in a list of them; its own page has more."""


class Queue(NamedTuple):
    """`running` and `queued` oldest first, `ended` newest first; `counts`: of all jobs by state."""

    running: Sequence[ListedJob]
    queued: Sequence[ListedJob]
    ended: Sequence[ListedJob]
    counts: dict[str, int]


@dataclass(frozen=True)
class Part(Generic[Item]):
    """One part of a list, and whether there is another one after it."""

    items: Sequence[Item]
    has_more: bool


def queue(session: Session, now: datetime, active: int = ACTIVE_JOBS, ended: int = ENDED_JOBS) -> Queue:
    """Jobs; at most so many that run, that wait, and that ended."""
    counts = dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all())
    running, queued = (
        select(JobRow).where(JobRow.state == state).order_by(JobRow.sequence).limit(active)
        for state in ("leased", "queued")
    )
    # Each state by its own index: together they would be sorted whole.
    last = [
        job
        for state in ("done", "failed", "cancelled")
        for job in jobs.listed(
            session,
            select(JobRow)
            .where(JobRow.state == state)
            .order_by(JobRow.updated_at.desc(), JobRow.sequence.desc())
            .limit(ended),
            now,
        )
    ]
    return Queue(
        running=jobs.listed(session, running, now),
        queued=jobs.listed(session, queued, now),
        ended=sorted(last, key=lambda job: job.updated_at, reverse=True)[:ended],
        counts=counts,
    )


def newest_devices(session: Session, now: datetime, part: int, *, hidden: bool = False) -> Part[DeviceRecord]:
    """Devices, the last heard of first, with the health of their newest tables; or those that are hidden."""
    query = select(DeviceRow).where(DeviceRow.hidden.is_(hidden))
    rows, has_more = _part(session, query.order_by(DeviceRow.heartbeat_at.desc(), DeviceRow.uuid), part, DEVICES)
    return Part(health.with_newest_tables(session, devices.records(session, rows), now), has_more)


def device_names(session: Session, uuids: Collection[str]) -> dict[str, str]:
    """The names of some devices."""
    query = select(DeviceRow.uuid, DeviceRow.name)
    return dict(tuple(row) for row in select_in(session, query, DeviceRow.uuid, uuids))


def newest_tables(session: Session, part: int = 0, like: Sequence[TableSummary] = ()) -> Part[TableSummary]:
    """Tables of devices that are not hidden, newest first; with `like` only of their spaces and definitions."""
    query = select(LatencyTableRow).join(DeviceRow, DeviceRow.uuid == LatencyTableRow.device)
    query = query.where(DeviceRow.hidden.is_(False))
    for table in like:
        query = query.where(
            LatencyTableRow.space == table.space,
            LatencyTableRow.space_digest == table.space_digest,
            LatencyTableRow.id != table.id,
        )
    rows, has_more = _part(session, query.order_by(*tables.NEWEST_FIRST), part, TABLES)
    return Part([tables.summary(row) for row in rows], has_more)


def newest_networks(session: Session, part: int = 0) -> Part[networks.Listed]:
    rows, has_more = _part(session, select(NetworkRow).order_by(NetworkRow.sequence.desc()), part, NETWORKS)
    return Part(networks.read(session, rows, RESULTS), has_more)


def _part(session: Session, query: Select[Row], part: int, size: int) -> tuple[Sequence[Row], bool]:
    rows = session.scalars(query.offset(part * size).limit(size + 1)).all()
    return rows[:size], len(rows) > size


def conditions(session: Session, summaries: Collection[TableSummary]) -> dict[UUID, Conditions]:
    """Under which conditions each table was measured."""
    environments = devices.environments(session, {table.environment for table in summaries})
    return {
        table.id: Conditions(table.device, environments[table.environment], table.method_version, table.runtime)
        for table in summaries
    }
