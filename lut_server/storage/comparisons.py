"""What a comparison needs: tables by id or by device, each with the samples of its rows."""

import json
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from lut_server.analysis.comparison import Side
from lut_server.errors import NotFound
from lut_server.storage import tables
from lut_server.storage.models import MeasurementRow, TableRow

IDS_PER_QUERY = 500
SHOWN = 20


def sides(session: Session, ids: Sequence[UUID]) -> list[Side]:
    """Tables with their samples, in the order of `ids`."""
    loaded = {id: tables.get(session, id) for id in dict.fromkeys(ids)}
    wanted = {row.measurement_id for table in loaded.values() for row in table.rows}
    samples_us = _samples_us(session, wanted)
    return [Side(tables.find(session, id), loaded[id], samples_us) for id in ids]


def newest(session: Session, wanted: tables.TableFilter) -> UUID:
    """The newest table that a filter lets through.

    Raises:
        NotFound: there is no such device or table; the message names the device's tables.
    """
    query = wanted.apply(session, select(TableRow)).order_by(*tables.NEWEST_FIRST).limit(1)
    row = session.scalars(query).one_or_none()
    if row is None:
        page = tables.page(session, tables.TableFilter(device=wanted.device), None, SHOWN)
        there = [f"{item.runtime}, {item.space} ({item.id})" for item in page.items]
        asked = ", ".join(f"{name}={value}" for name, value in vars(wanted).items() if value is not None)
        raise NotFound(
            f"no table with {asked}. "
            + (f"Tables of this device: {'; '.join(there)}" if there else "This device has no table yet"),
            known=there,
        )
    return row.id


def _samples_us(session: Session, measurements: Iterable[UUID]) -> dict[UUID, tuple[float, ...]]:
    wanted = list(measurements)
    found: dict[UUID, tuple[float, ...]] = {}
    for start in range(0, len(wanted), IDS_PER_QUERY):
        part = wanted[start : start + IDS_PER_QUERY]
        query = select(MeasurementRow.id, MeasurementRow.body).where(MeasurementRow.id.in_(part))
        found |= {id: tuple(json.loads(body)["samples_us"]) for id, body in session.execute(query)}
    return found
