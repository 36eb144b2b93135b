"""May the tables be trusted? Their age, and how many of their rows are doubtful."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lut_server.models import TableRow
from lut_server.schemas import DeviceRecord, Runtime, TableHealth

MAX_REMEMBERED = 20_000


class _Doubts(NamedTuple):
    converged: int
    noisy: int
    throttled: int


# Tables never change, so neither does this.
_doubts: dict[UUID, _Doubts] = {}


def with_newest_tables(session: Session, records: Sequence[DeviceRecord], now: datetime) -> list[DeviceRecord]:
    """Devices with the health of the newest table of each of their runtimes and spaces."""
    newest = (
        select(func.max(TableRow.sequence))
        .where(TableRow.device.in_([record.device.uuid for record in records]))
        .group_by(TableRow.device, TableRow.runtime, TableRow.space, TableRow.space_digest)
    )
    rows = session.scalars(select(TableRow).where(TableRow.sequence.in_(newest)).order_by(TableRow.sequence)).all()
    found: dict[str, list[TableHealth]] = {}
    for row in rows:
        found.setdefault(row.device, []).append(_health(row, now))
    return [record.model_copy(update={"newest_tables": tuple(found.get(record.device.uuid, ()))}) for record in records]


def of_device(session: Session, device: str, now: datetime, limit: int) -> list[TableHealth]:
    """The newest tables of a device, newest first."""
    query = select(TableRow).where(TableRow.device == device).order_by(TableRow.sequence.desc()).limit(limit)
    return [_health(row, now) for row in session.scalars(query)]


def _health(row: TableRow, now: datetime) -> TableHealth:
    doubts = _doubts.get(row.id)
    if doubts is None:
        if len(_doubts) >= MAX_REMEMBERED:
            _doubts.clear()
        qualities = [item["quality"] for item in json.loads(row.content)["rows"]]
        doubts = _Doubts(*(sum(quality[name] for quality in qualities) for name in _Doubts._fields))
        _doubts[row.id] = doubts
    return TableHealth(
        id=row.id,
        created_at=row.created_at,
        age_s=max(0.0, (now - row.created_at).total_seconds()),
        runtime=Runtime.model_validate(
            {
                "mode": row.mode,
                "precision": row.precision,
                "batch_size": row.batch_size,
                "threads": row.threads,
            }
        ),
        space=row.space,
        space_digest=row.space_digest,
        rows=row.rows,
        converged_share=doubts.converged / row.rows,
        noisy=doubts.noisy,
        throttled=doubts.throttled,
    )
