"""What to call each of several tables: by the shortest thing in which they differ."""

from collections.abc import Callable, Sequence

from latency_tables.contract import TableSummary
from lut_server.pages.formatting import size

_PARTS: Sequence[Callable[[TableSummary], str]] = (
    lambda table: table.device[:12],
    lambda table: table.runtime.mode,
    lambda table: table.runtime.precision,
    lambda table: f"batch {table.runtime.batch_size}",
    lambda table: f"{table.runtime.threads or 'all'} thread{'s' * (table.runtime.threads != 1)}",
    lambda table: f"up to {size(table.largest_input)}",
    lambda table: f"{table.created_at:%Y-%m-%d}",
    lambda table: f"{table.created_at:%H:%M:%S} UTC",
    lambda table: f"table {str(table.id)[-6:]}",
)


def labels(tables: Sequence[TableSummary]) -> list[str]:
    """A name for each table that no other has: its device's, and of those of one name what sets them apart."""
    return [_label(table, [other for other in tables if other.device_name == table.device_name]) for table in tables]


def _label(table: TableSummary, alike: Sequence[TableSummary]) -> str:
    parts = [table.device_name]
    for part in _PARTS:
        if any(part(other) != part(table) for other in alike):
            parts.append(part(table))
            alike = [other for other in alike if part(other) == part(table)]
    return ", ".join(parts)
