"""What a comparison needs: tables by id or by device, each with the samples of its rows."""

import json
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.contract import LatencyTable, TableRow
from lut_server.analysis.comparison import Side
from lut_server.errors import NotFound, Unprocessable
from lut_server.storage import tables
from lut_server.storage.database import select_in
from lut_server.storage.models import LatencyTableRow, MeasurementRow
from lut_server.storage.tables import TableFilter

MAX_TABLES = 10
MAX_SHARED = 4000
"""Rows that are compared, of all tables together: about a quarter of a second of work."""


def load_sides(
    session: Session, ids: Sequence[UUID], filters: Sequence[TableFilter] = (), names: Collection[str] = ()
) -> tuple[list[Side], int]:
    """Tables by id, then the newest one that each filter lets through, with their samples; and what was left out.

    With `names` only rows of these operations. Of more than MAX_SHARED rows that all tables share, those are
    taken whose digests come first: an even choice, the same each time. The second value counts the others.

    Raises:
        NotFound: no such table.
        Unprocessable: they are too few or too many, or one has no such operation.
    """
    ids = [*ids, *(_newest(session, filter) for filter in filters)]
    if not 2 <= len(ids) <= MAX_TABLES:
        raise Unprocessable(
            f"table, device: {len(ids)} tables were given; compare 2 to {MAX_TABLES}, "
            "by `table` ids or as the newest ones of `device`s",
            field="table",
        )
    summaries = {id: tables.find(session, id) for id in ids}
    contents = {id: tables.get(session, id) for id in summaries}
    if names:
        contents = {id: _of_names(table, names) for id, table in contents.items()}
    shared = set.intersection(*({row.operation.digest for row in table.rows} for table in contents.values()))
    left_out = max(0, len(shared) - MAX_SHARED // len(contents))
    if left_out:
        taken = set(sorted(shared)[: len(shared) - left_out])
        contents = {
            id: _rows(
                table,
                [row for row in table.rows if row.operation.digest in taken or row.operation.digest not in shared],
            )
            for id, table in contents.items()
        }
        shared = taken
    measured = {
        row.measurement_id for table in contents.values() for row in table.rows if row.operation.digest in shared
    }
    query = select(MeasurementRow.id, MeasurementRow.body)
    bodies = {id: json.loads(body) for id, body in select_in(session, query, MeasurementRow.id, measured)}
    samples_us = {id: tuple(body["samples_us"]) for id, body in bodies.items()}
    noise_rel = {id: (body.get("observed") or {}).get("noise_rel") for id, body in bodies.items()}
    return [Side(summaries[id], contents[id], samples_us, noise_rel) for id in ids], left_out


def _of_names(table: LatencyTable, names: Collection[str]) -> LatencyTable:
    rows = [row for row in table.rows if row.operation.name in names]
    if not rows:
        known = sorted({row.operation.name for row in table.rows})
        raise Unprocessable(
            f"operation={', '.join(names)!r}: table {table.id} has none of this name; it has {', '.join(known[:20])}",
            field="operation",
            value=", ".join(names),
        )
    return _rows(table, rows)


def _rows(table: LatencyTable, rows: Sequence[TableRow]) -> LatencyTable:
    return table.model_copy(update={"rows": tuple(rows)})


def _newest(session: Session, filter: TableFilter) -> UUID:
    row = session.scalars(
        filter.apply(session, select(LatencyTableRow)).order_by(*tables.NEWEST_FIRST).limit(1)
    ).one_or_none()
    if row is None:
        conditions = ", ".join(f"{name}={value}" for name, value in vars(filter).items() if value is not None)
        existing = tables.describe_all(session, TableFilter(device=filter.device))
        raise NotFound(f"no table with {conditions}. {tables.in_words(existing)}", known=existing)
    return row.id
