"""May the tables be trusted? Their age, how many of their rows are doubtful, and how well they predict networks."""

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from latency_tables.contract import DeviceRecord, ErrorCard, TableHealth
from lut_server.analysis.error_card import card_state
from lut_server.storage import calibrations, tables
from lut_server.storage.models import LatencyTableRow


def with_newest_tables(session: Session, records: Sequence[DeviceRecord], now: datetime) -> list[DeviceRecord]:
    """Devices with the health of the newest table of each of their runtimes and spaces."""
    alike = (LatencyTableRow.device, LatencyTableRow.runtime, LatencyTableRow.space, LatencyTableRow.space_digest)
    ranked = (
        select(
            LatencyTableRow.sequence,
            func.row_number().over(partition_by=alike, order_by=tables.NEWEST_FIRST).label("rank"),
        )
        .where(LatencyTableRow.device.in_([record.device.uuid for record in records]))
        .subquery()
    )
    newest = select(ranked.c.sequence).where(ranked.c.rank == 1)
    rows = session.scalars(
        select(LatencyTableRow)
        .where(LatencyTableRow.sequence.in_(newest))
        .order_by(LatencyTableRow.rank, LatencyTableRow.sequence)
    ).all()
    cards = calibrations.newest_cards(session, [row.id for row in rows])
    by_device: dict[str, list[TableHealth]] = {}
    for row in rows:
        by_device.setdefault(row.device, []).append(_health(row, cards.get(row.id), now))
    return [
        record.model_copy(update={"newest_tables": tuple(by_device.get(record.device.uuid, ()))}) for record in records
    ]


def of_device(session: Session, device: str, now: datetime, limit: int, offset: int = 0) -> list[TableHealth]:
    """Tables of a device, newest first."""
    query = (
        select(LatencyTableRow)
        .where(LatencyTableRow.device == device)
        .order_by(*tables.NEWEST_FIRST)
        .offset(offset)
        .limit(limit)
    )
    rows = session.scalars(query).all()
    cards = calibrations.newest_cards(session, [row.id for row in rows])
    return [_health(row, cards.get(row.id), now) for row in rows]


def _health(row: LatencyTableRow, card: ErrorCard | None, now: datetime) -> TableHealth:
    return TableHealth(
        id=row.id,
        created_at=row.created_at,
        age_s=max(0.0, (now - row.created_at).total_seconds()),
        runtime=tables.runtime_of(row),
        space=row.space,
        space_digest=row.space_digest,
        rows=row.rows,
        converged_share=row.converged / row.rows,
        noisy=row.noisy,
        throttled=row.throttled,
        doubtful=row.doubtful,
        warnings=json.loads(row.warnings),
        largest_input=json.loads(row.largest_input),
        requested_by=row.requested_by,
        card=card_state(card, row.created_at, now),
        mape=card.calibrated.mape if card else None,
        networks=card.networks if card else 0,
        networks_at=card.measured_at if card else None,
    )
