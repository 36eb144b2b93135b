"""Keyset pages: `after` is the key of the last item of the page before, so that new items never shift a page."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from latency_tables.contract import Contract, Page

MAX_PAGE_BYTES = 2**19
ROWS_AT_ONCE = 10

Row = TypeVar("Row")
Item = TypeVar("Item", bound=Contract)


def page(
    session: Session,
    query: Select[Row],
    key: InstrumentedAttribute[Any],
    after: str | None,
    limit: int,
    read: Callable[[Row], Item],
    weigh: Callable[[Row], int] | None = None,
) -> Page[Item]:
    """The `limit` rows of a query after a cursor (a value of the key column, as text), in the order of the key.

    With `weigh` (the bytes of a row) the page ends early once it has MAX_PAGE_BYTES, but has one row at least.
    """
    rows, next = take(session, query, key, after, limit, weigh)
    return Page(items=tuple(map(read, rows)), next=next)


def take(
    session: Session,
    query: Select[Row],
    key: InstrumentedAttribute[Any],
    after: str | None,
    limit: int,
    weigh: Callable[[Row], int] | None = None,
) -> tuple[Sequence[Row], str | None]:
    """The rows of a page, and the cursor of the next one: None on the last page."""
    if after is not None:
        query = query.where(key > key.type.python_type(after))
    ordered = query.order_by(key).limit(limit + 1)
    if weigh is None:
        rows: Sequence[Row] = session.scalars(ordered).all()
        taken, has_more = rows[:limit], len(rows) > limit
    else:
        taken, has_more = _take(session, ordered, limit, weigh)
    return taken, str(getattr(taken[-1], key.key)) if has_more else None


def _take(session: Session, query: Select[Row], limit: int, weigh: Callable[[Row], int]) -> tuple[list[Row], bool]:
    """As many rows as fit into a page, and whether there are more; hardly more are read than that."""
    taken: list[Row] = []
    size = 0
    with session.scalars(query.execution_options(yield_per=ROWS_AT_ONCE)) as rows:
        for row in rows:
            size += weigh(row)
            if taken and (size > MAX_PAGE_BYTES or len(taken) == limit):
                return taken, True
            taken.append(row)
    return taken, False
