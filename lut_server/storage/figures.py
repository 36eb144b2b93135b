"""The state of the service in a few numbers, for monitoring."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lut_server.storage.models import DeviceRow, JobRow, LatencyTableRow, LeaseRow


@dataclass(frozen=True)
class TableAge:
    """`labels`: device uuid, space, mode, precision, batch size, threads."""

    labels: tuple[str, ...]
    age_s: float


@dataclass(frozen=True)
class Figures:
    """Counts by state or kind; ages in seconds by the server's clock."""

    jobs: dict[str, int]
    queue_age_s: float
    leases_active: int
    leases_expired: int
    measurements: dict[str, int]
    tables: list[TableAge]


def read(session: Session, now: datetime) -> Figures:
    jobs = dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all())
    oldest = session.scalar(select(func.min(JobRow.created_at)).where(JobRow.state == "queued"))
    by_state = select(LeaseRow.state, func.count()).group_by(LeaseRow.state)
    leases = dict(session.execute(by_state).all())
    by_kind = select(DeviceRow.kind, func.sum(DeviceRow.measurements)).group_by(DeviceRow.kind)
    measurements = {kind: int(count) for kind, count in session.execute(by_kind)}
    labels_of = (
        LatencyTableRow.device,
        LatencyTableRow.space,
        LatencyTableRow.mode,
        LatencyTableRow.precision,
        LatencyTableRow.batch_size,
        LatencyTableRow.threads,
    )
    ages = select(func.max(LatencyTableRow.created_at), *labels_of).join(
        DeviceRow, DeviceRow.uuid == LatencyTableRow.device
    )
    newest = session.execute(ages.where(DeviceRow.hidden.is_(False)).group_by(*labels_of))
    return Figures(
        jobs=jobs,
        queue_age_s=_age_s(oldest, now),
        leases_active=leases.get("active", 0),
        leases_expired=leases.get("expired", 0),
        measurements=measurements,
        tables=[
            TableAge(tuple("" if label is None else str(label) for label in labels), _age_s(created_at, now))
            for created_at, *labels in newest
        ],
    )


def _age_s(then: datetime | None, now: datetime) -> float:
    return max(0.0, (now - then).total_seconds()) if then else 0.0
