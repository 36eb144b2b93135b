"""Two or more tables side by side, over the operations that all of them hold. Pure functions."""

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Sequence

from lut_server.schemas import ComparedOperation, Comparison, LatencyTable, OperationSpec, TableSummary


def compare(tables: Sequence[LatencyTable], summaries: Sequence[TableSummary]) -> Comparison:
    """Compare tables (at least two, each with its summary) with the first of them."""
    latencies = [{row.operation: row.latency.median_us for row in table.rows} for table in tables]
    every = _sorted({operation for rows in latencies for operation in rows})
    shared = [operation for operation in every if all(operation in rows for rows in latencies)]
    columns = [[rows[operation] for operation in shared] for rows in latencies]
    return Comparison(
        tables=tuple(summaries),
        operations=tuple(
            ComparedOperation(operation=operation, latencies_us=row, ratios=tuple(value / row[0] for value in row))
            for operation, row in zip(shared, zip(*columns, strict=True), strict=True)
        ),
        ratios=tuple(geometric_mean_ratio(column, columns[0]) for column in columns),
        taus=tuple(kendall_tau(column, columns[0]) for column in columns),
        missing=tuple(tuple(operation for operation in every if operation not in rows) for rows in latencies),
    )


def geometric_mean_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The geometric mean of the ratios of positive numbers; 1 over none."""
    logs = [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)]
    return math.exp(math.fsum(logs) / len(logs)) if logs else 1.0


def kendall_tau(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Kendall's τ-b, None where it is undefined: fewer than two pairs of values, or all x or all y alike.

    Knight's method (1966): in the order of x, the discordant pairs are the inversions of y.
    """
    pairs = sorted(zip(x, y, strict=True))
    total = math.comb(len(pairs), 2)
    x_ties, y_ties, both_ties = (_ties(values) for values in ([a for a, _ in pairs], [b for _, b in pairs], pairs))
    if total in (x_ties, y_ties):
        return None
    seen: list[float] = []
    discordant = 0
    for _, value in pairs:
        discordant += len(seen) - bisect_right(seen, value)
        insort(seen, value)
    concordant = total - x_ties - y_ties + both_ties - discordant
    return (concordant - discordant) / math.sqrt((total - x_ties) * (total - y_ties))


def _ties(values: Sequence[object]) -> int:
    return sum(math.comb(count, 2) for count in Counter(values).values())


def _sorted(operations: set[OperationSpec]) -> list[OperationSpec]:
    return sorted(operations, key=lambda operation: (operation.space, operation.name, operation.digest))
