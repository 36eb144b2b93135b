"""What a comparison needs: tables by id or by device, each with the samples of its rows."""

import json
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from lut_server.analysis.comparison import Side
from lut_server.errors import NotFound, Unprocessable
from lut_server.storage import tables
from lut_server.storage.database import select_in
from lut_server.storage.models import LatencyTableRow, MeasurementRow
from lut_server.storage.tables import TableFilter

MAX_TABLES = 10
MAX_ROWS = 5000  # about two seconds of work


def load_sides(session: Session, ids: Sequence[UUID], filters: Sequence[TableFilter] = ()) -> list[Side]:
    """Tables by id, then the newest one that each filter lets through, with their samples.

    Raises:
        NotFound: no such table.
        Unprocessable: they are too few, too many, or too large.
    """
    ids = [*ids, *(_newest(session, filter) for filter in filters)]
    if not 2 <= len(ids) <= MAX_TABLES:
        raise Unprocessable(
            f"table, device: {len(ids)} tables were given; compare 2 to {MAX_TABLES}, "
            "by `table` ids or as the newest ones of `device`s",
            field="table",
        )
    summaries = {id: tables.find(session, id) for id in ids}
    rows = sum(summaries[id].rows for id in ids)
    if rows > MAX_ROWS:
        raise Unprocessable(
            f"table: together they have {rows} rows, more than {MAX_ROWS}; compare fewer", field="table"
        )
    contents = {id: tables.get(session, id) for id in summaries}
    measurements = {row.measurement_id for table in contents.values() for row in table.rows}
    query = select(MeasurementRow.id, MeasurementRow.body)
    bodies = select_in(session, query, MeasurementRow.id, measurements)
    samples_us = {id: tuple(json.loads(body)["samples_us"]) for id, body in bodies}
    return [Side(summaries[id], contents[id], samples_us) for id in ids]


def _newest(session: Session, filter: TableFilter) -> UUID:
    row = session.scalars(
        filter.apply(session, select(LatencyTableRow)).order_by(*tables.NEWEST_FIRST).limit(1)
    ).one_or_none()
    if row is None:
        conditions = ", ".join(f"{name}={value}" for name, value in vars(filter).items() if value is not None)
        existing = tables.describe_all(session, TableFilter(device=filter.device))
        raise NotFound(f"no table with {conditions}. {tables.in_words(existing)}", known=existing)
    return row.id
