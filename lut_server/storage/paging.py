"""Keyset pages: `after` is the key of the last item of the page before, so that new items never shift a page."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from latency_tables.contract import Contract, Page

Row = TypeVar("Row")
Item = TypeVar("Item", bound=Contract)


def page(
    session: Session,
    query: Select[Row],
    key: InstrumentedAttribute[Any],
    after: str | None,
    limit: int,
    read: Callable[[Row], Item],
) -> Page[Item]:
    """The `limit` rows of a query after a cursor (a value of the key column, as text), in the order of the key."""
    if after is not None:
        query = query.where(key > key.type.python_type(after))
    rows: Sequence[Row] = session.scalars(query.order_by(key).limit(limit + 1)).all()
    last = getattr(rows[limit - 1], key.key) if len(rows) > limit else None
    return Page(items=tuple(read(row) for row in rows[:limit]), next=None if last is None else str(last))
