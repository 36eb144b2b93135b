"""May the tables be trusted? Their age, how many of their rows are doubtful, and how well they predict networks."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from latency_tables.contract import CardState, DeviceRecord, ErrorCard, Runtime, TableHealth
from lut_server.storage import calibrations, tables
from lut_server.storage.models import TableRow

MAX_REMEMBERED = 20_000
BAD_MAPE = 0.05
OLD = timedelta(days=30)


class _Doubts(NamedTuple):
    converged: int
    noisy: int
    throttled: int


# Tables never change, so neither does this.
_doubts: dict[UUID, _Doubts] = {}


def with_newest_tables(session: Session, records: Sequence[DeviceRecord], now: datetime) -> list[DeviceRecord]:
    """Devices with the health of the newest table of each of their runtimes and spaces."""
    alike = (TableRow.device, TableRow.runtime, TableRow.space, TableRow.space_digest)
    placed = (
        select(
            TableRow.sequence, func.row_number().over(partition_by=alike, order_by=tables.NEWEST_FIRST).label("place")
        )
        .where(TableRow.device.in_([record.device.uuid for record in records]))
        .subquery()
    )
    newest = select(placed.c.sequence).where(placed.c.place == 1)
    rows = session.scalars(
        select(TableRow).where(TableRow.sequence.in_(newest)).order_by(TableRow.created_at, TableRow.sequence)
    ).all()
    cards = calibrations.newest_cards(session, [row.id for row in rows])
    found: dict[str, list[TableHealth]] = {}
    for row in rows:
        found.setdefault(row.device, []).append(_health(row, cards.get(row.id), now))
    return [record.model_copy(update={"newest_tables": tuple(found.get(record.device.uuid, ()))}) for record in records]


def of_device(session: Session, device: str, now: datetime, limit: int) -> list[TableHealth]:
    """The newest tables of a device, newest first."""
    query = select(TableRow).where(TableRow.device == device).order_by(*tables.NEWEST_FIRST).limit(limit)
    rows = session.scalars(query).all()
    cards = calibrations.newest_cards(session, [row.id for row in rows])
    return [_health(row, cards.get(row.id), now) for row in rows]


def card_state(card: ErrorCard | None, built_at: datetime, now: datetime) -> CardState:
    """May predictions by a table that was built then be trusted?"""
    if card is None:
        return "none"
    if card.calibrated.mape > BAD_MAPE:
        return "bad"
    return "old" if card.measured_at < max(built_at, now - OLD) else "good"


def _health(row: TableRow, card: ErrorCard | None, now: datetime) -> TableHealth:
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
        card=card_state(card, row.created_at, now),
        mape=card.calibrated.mape if card else None,
        networks=card.networks if card else 0,
        networks_at=card.measured_at if card else None,
    )
