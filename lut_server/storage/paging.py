"""Keyset pages: `after` is the key of the last item that was seen, so that new items never shift a page."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from latency_tables.contract import Contract, Page

Row = TypeVar("Row")
Item = TypeVar("Item", bound=Contract)


def page(
    session: Session,
    query: Select[Row],
    sequence: InstrumentedAttribute[int],
    after: str | None,
    limit: int,
    read: Callable[[Row], Item],
) -> Page[Item]:
    """The `limit` rows of a query after a cursor (at most 18 digits), in the order in which they were stored."""
    if after is not None:
        query = query.where(sequence > int(after))
    rows: Sequence[Row] = session.scalars(query.order_by(sequence).limit(limit + 1)).all()
    last = getattr(rows[limit - 1], sequence.key) if len(rows) > limit else None
    return Page(items=tuple(read(row) for row in rows[:limit]), next=None if last is None else str(last))
