"""What a comparison needs: tables by id or by device, each with the samples of its rows."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.contract import LatencyTable, TableSummary, canonical_json, sha256
from lut_server.analysis.comparison import Side
from lut_server.errors import NotFound, Unprocessable
from lut_server.storage import tables
from lut_server.storage.database import select_in
from lut_server.storage.models import LatencyTableRow, MeasurementRow
from lut_server.storage.tables import TableFilter

MAX_TABLES = 10
MAX_SHARED = 2000
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
    contents, left_out = _chosen(session, summaries, names)
    shared = set.intersection(*({row.operation.digest for row in table.rows} for table in contents.values()))
    measured = {
        row.measurement_id for table in contents.values() for row in table.rows if row.operation.digest in shared
    }
    query = select(MeasurementRow.id, MeasurementRow.body)
    bodies = {id: from_json(body) for id, body in select_in(session, query, MeasurementRow.id, measured)}
    samples_us = {id: tuple(body["samples_us"]) for id, body in bodies.items()}
    noise_rel = {id: (body.get("observed") or {}).get("noise_rel") for id, body in bodies.items()}
    return [Side(summaries[id], contents[id], samples_us, noise_rel) for id in ids], left_out


def _chosen(
    session: Session, summaries: Mapping[UUID, TableSummary], names: Collection[str]
) -> tuple[dict[UUID, LatencyTable], int]:
    """The tables without the rows that are not compared, and how many of those that all of them share."""
    contents = {id: tables.content(session, id) for id in summaries}
    most = MAX_SHARED // len(contents)
    left_out = 0
    if names or max(summary.rows for summary in summaries.values()) > most:
        # As parsed JSON: to make a table of 10 000 rows takes half a second.
        parsed = {id: from_json(content) for id, content in contents.items()}
        rows = {id: _of_names(id, table["rows"], names) if names else table["rows"] for id, table in parsed.items()}
        keyed = {id: [(operation_key(row["operation"]), row) for row in own] for id, own in rows.items()}
        shared = sorted(set.intersection(*({key for key, _ in own} for own in keyed.values())))
        dropped = set(shared[most:])
        left_out = len(dropped)
        kept = {id: [row for key, row in own if key not in dropped] for id, own in keyed.items()}
        contents = {id: to_json({**table, "rows": kept[id]}) for id, table in parsed.items()}
    return {id: LatencyTable.model_validate_json(content) for id, content in contents.items()}, left_out


def operation_key(operation: Mapping[str, Any]) -> str:
    """The digest of an operation that was parsed from a table, without making an OperationSpec of it."""
    return sha256(canonical_json({name: value for name, value in operation.items() if value is not None}))


def _of_names(id: UUID, rows: Sequence[Mapping[str, Any]], names: Collection[str]) -> Sequence[Mapping[str, Any]]:
    found = [row for row in rows if row["operation"]["name"] in names]
    if not found:
        known = sorted({row["operation"]["name"] for row in rows})
        raise Unprocessable(
            f"operation={', '.join(names)!r}: table {id} has none of this name; it has {', '.join(known[:20])}",
            field="operation",
            value=", ".join(names),
        )
    return found


def _newest(session: Session, filter: TableFilter) -> UUID:
    row = session.scalars(
        filter.apply(session, select(LatencyTableRow)).order_by(*tables.NEWEST_FIRST).limit(1)
    ).one_or_none()
    if row is None:
        conditions = ", ".join(f"{name}={value}" for name, value in vars(filter).items() if value is not None)
        existing = tables.describe_all(session, TableFilter(device=filter.device))
        raise NotFound(f"no table with {conditions}. {tables.in_words(existing)}", known=existing)
    return row.id
