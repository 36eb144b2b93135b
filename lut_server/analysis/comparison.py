"""Two or more tables side by side, over the operations that all of them hold. Pure functions."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from latency_tables.contract import (
    ComparedOperation,
    ComparedTable,
    Comparison,
    LatencyTable,
    OperationSpec,
    Ratio,
    TableRow,
    TableSummary,
    Verdict,
    VerdictCounts,
)
from latency_tables.kendall import kendall_tau
from latency_tables.statistics import Interval
from lut_server.analysis.bootstrap import MIN_SAMPLES, RESAMPLES, interval, log_medians, log_medians_within
from lut_server.analysis.likeness import Conditions, differences
from lut_server.analysis.ranking import proxy_in_words
from lut_server.errors import Unprocessable

MARGIN_REL = 0.02
MAX_UNJUDGED = 0.1
"""Over this share of operations that allow no verdict, there is none over all of them either."""

_EXACTLY_ONE = Ratio(value=1, low=1, high=1, verdict="same")


@dataclass(frozen=True)
class Side:
    """A table and the block samples of its rows by measurement, in microseconds, as far as this server has them."""

    summary: TableSummary
    table: LatencyTable
    samples_us: Mapping[UUID, tuple[float, ...]]


def compare(sides: Sequence[Side], margin_rel: float = MARGIN_REL, *, allow_unlike: bool = False) -> Comparison:
    """Compare tables (at least two) with the first of them.

    The intervals say how far the medians would scatter if the blocks were drawn again. They do not cover what changes
    from one session on a device to the next: that is what `margin_rel` is for.

    Raises:
        Unprocessable: the tables share no operation, or were measured under unlike conditions without `allow_unlike`.
    """
    rows = [{row.operation: row for row in side.table.rows} for side in sides]
    operations = sorted({operation for table in rows for operation in table}, key=_order)
    shared = [operation for operation in operations if all(operation in table for table in rows)]
    if not shared:
        spaces = ", ".join(f"{side.summary.space} {side.summary.space_digest[:12]}" for side in sides)
        raise Unprocessable(
            f"table: these tables share no operation (spaces: {spaces}); compare tables of one definition of a space",
            field="table",
        )
    unlike = differences(
        [
            Conditions(side.summary.device, side.table.environment, side.table.method_version, side.table.runtime)
            for side in sides
        ]
    )
    if unlike and not allow_unlike:
        raise Unprocessable(
            f"allow_unlike=false: these tables are unlike ({'; '.join(unlike)}), so a difference need not come from "
            "the devices. Compare tables of equal method, batch size, threads and software, or ask for this comparison "
            "with allow_unlike=true",
            field="allow_unlike",
            value="false",
            unlike=unlike,
        )
    columns = [
        _column(side, [table[operation] for operation in shared]) for side, table in zip(sides, rows, strict=True)
    ]
    ratios = [_ratios(column, columns[0], margin_rel) for column in columns]
    return Comparison(
        margin_rel=margin_rel,
        unlike=tuple(unlike),
        tables=tuple(
            ComparedTable(
                table=side.summary,
                overall=_overall(column, columns[0], margin_rel),
                verdicts=_verdict_counts(table_ratios),
                doubtful=sum(not row.quality.sound for row in column.rows),
                **_ranking(column, columns[0], missing=len(operations) - len(table)),
                missing=tuple(operation for operation in operations if operation not in table),
            )
            for side, table, column, table_ratios in zip(sides, rows, columns, ratios, strict=True)
        ),
        operations=tuple(
            ComparedOperation(
                operation=operation,
                latencies_us=tuple(column.medians_us[index] for column in columns),
                sound=tuple(column.rows[index].quality.sound for column in columns),
                ratios=tuple(table_ratios[index] for table_ratios in ratios),
            )
            for index, operation in enumerate(shared)
        ),
    )


def verdict(bounds: Interval, margin_rel: float) -> Verdict:
    """What the interval of a ratio says, given how large a difference does not matter.

    `same`: the whole interval lies within a factor 1 + margin of 1.
    `slower`, `faster`: the whole interval lies above, or below, that band.
    `ambiguous`: anything else.
    """
    above = 1 + margin_rel
    if bounds.low > above:
        return "slower"
    if bounds.high < 1 / above:
        return "faster"
    return "same" if bounds.low >= 1 / above and bounds.high <= above else "ambiguous"


@dataclass(frozen=True)
class _Column:
    """The shared operations of one table: rows, medians, and resampled logarithms of the medians."""

    rows: Sequence[TableRow]
    medians_us: Sequence[float]
    log_draws: Sequence[Sequence[float]]


def _column(side: Side, rows: Sequence[TableRow]) -> _Column:
    return _Column(rows, [row.latency.median_us for row in rows], [_draws(row, side.samples_us) for row in rows])


def _draws(row: TableRow, samples_us: Mapping[UUID, tuple[float, ...]]) -> Sequence[float]:
    # Seeded by the measurement: rows of two tables that share a measurement differ by exactly nothing.
    seed = str(row.measurement_id)
    samples = samples_us.get(row.measurement_id)
    latency = row.latency
    if samples is None:  # a table that came from another server comes without samples
        return log_medians_within(latency.median_us, Interval(latency.low_us, latency.high_us), seed)
    return log_medians(samples, seed)


def _ratios(column: _Column, reference: _Column, margin_rel: float) -> list[Ratio]:
    return [
        _EXACTLY_ONE
        if row.measurement_id == other.measurement_id
        else _ratio(a / b, [x - y for x, y in zip(draws, others, strict=True)], margin_rel, _may_judge(row, other))
        for row, other, a, b, draws, others in zip(
            column.rows,
            reference.rows,
            column.medians_us,
            reference.medians_us,
            column.log_draws,
            reference.log_draws,
            strict=True,
        )
    ]


def _may_judge(row: TableRow, other: TableRow) -> bool:
    """Throttling shifts the median, which no interval covers; too few samples have no interval."""
    return all(side.latency.count >= MIN_SAMPLES and not side.quality.throttled for side in (row, other))


def _overall(column: _Column, reference: _Column, margin_rel: float) -> Ratio:
    """The geometric mean of the ratios, with the interval of that mean."""
    if all(row.measurement_id == other.measurement_id for row, other in zip(column.rows, reference.rows, strict=True)):
        return _EXACTLY_ONE
    count = len(column.rows)
    totals = [0.0] * RESAMPLES
    for draws, others in zip(column.log_draws, reference.log_draws, strict=True):
        totals = [total + x - y for total, x, y in zip(totals, draws, others, strict=True)]
    judged = sum(_may_judge(row, other) for row, other in zip(column.rows, reference.rows, strict=True))
    value = geometric_mean_ratio(column.medians_us, reference.medians_us)
    return _ratio(value, [total / count for total in totals], margin_rel, judged >= (1 - MAX_UNJUDGED) * count)


def _ratio(value: float, log_draws: Sequence[float], margin_rel: float, may_judge: bool) -> Ratio:
    bounds = interval(log_draws)
    bounds = Interval(min(math.exp(bounds.low), value), max(math.exp(bounds.high), value))
    judgement: Verdict = verdict(bounds, margin_rel) if may_judge else "ambiguous"
    return Ratio(value=value, low=bounds.low, high=bounds.high, verdict=judgement)


def _verdict_counts(ratios: Sequence[Ratio]) -> VerdictCounts:
    counted = Counter(ratio.verdict for ratio in ratios)
    return VerdictCounts(
        faster=counted["faster"], slower=counted["slower"], same=counted["same"], ambiguous=counted["ambiguous"]
    )


def _ranking(column: _Column, reference: _Column, missing: int) -> dict[str, Any]:
    x, y = column.medians_us, reference.medians_us
    if column is reference:
        return {"tau": 1.0, "tau_same_input": 1.0, "proxy": "It is the reference."}
    tau = kendall_tau(x, y)
    same_input = kendall_tau(x, y, [row.operation.input_shapes for row in column.rows])
    decisive = tau if same_input is None else same_input
    return {"tau": tau, "tau_same_input": same_input, "proxy": proxy_in_words(decisive, len(x), missing)}


def geometric_mean_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The geometric mean of the ratios of positive numbers; 1 over none."""
    logs = [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)]
    return math.exp(math.fsum(logs) / len(logs)) if logs else 1.0


def _order(operation: OperationSpec) -> tuple[str, str, str]:
    return operation.space, operation.name, operation.digest
