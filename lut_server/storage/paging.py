"""Keyset pages: `after` is the key of the last item that was seen, so that new items never shift a page."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from lut_server.errors import Unprocessable
from lut_server.schemas import Contract, Page

MAX_SEQUENCE = 2**63 - 1
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
    """The `limit` rows of a query after a cursor, in the order in which they were stored."""
    if after is not None:
        query = query.where(sequence > _cursor(after))
    rows: Sequence[Row] = session.scalars(query.order_by(sequence).limit(limit + 1)).all()
    last = getattr(rows[limit - 1], sequence.key) if len(rows) > limit else None
    return Page(items=tuple(read(row) for row in rows[:limit]), next=None if last is None else str(last))


def _cursor(after: str) -> int:
    if after.isascii() and after.isdigit() and len(after) <= 19 and int(after) <= MAX_SEQUENCE:
        return int(after)
    raise Unprocessable(f"after={after!r}: not a cursor; take `next` of the page before", field="after", value=after)
