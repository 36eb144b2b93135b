"""Two or more tables side by side, over the operations that all of them hold. Pure functions."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from latency_tables.contract import (
    NOISY_REL,
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
from lut_server.analysis.bootstrap import MIN_SAMPLES, Draws, interval, intervals, log_medians, log_medians_within
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
    noise_rel: Mapping[UUID, float | None] = field(default_factory=dict)
    """By how much the machine's references scattered with a measurement (Observed.noise_rel)."""


def compare(
    sides: Sequence[Side], margin_rel: float = MARGIN_REL, *, allow_unlike: bool = False, left_out: int = 0
) -> Comparison:
    """Compare tables (at least two) with the first of them; `left_out` operations that they share are not in them.

    The intervals say how far the medians would scatter if the blocks were drawn again. They do not cover what changes
    from one session on a device to the next: that is what `margin_rel` is for. On a machine in doubt more changes than
    that: where its references scattered by more than NOISY_REL, the interval is wider by as much. So a machine gets no
    verdict against itself from what it does by itself.

    Raises:
        Unprocessable: the tables share no operation, or were measured under unlike conditions without `allow_unlike`.
    """
    rows = [{row.operation: row for row in side.table.rows} for side in sides]
    operations = sorted({operation for table in rows for operation in table}, key=_order)
    shared = [operation for operation in operations if all(operation in table for table in rows)]
    if not shared:
        raise Unprocessable(f"table: these tables share no operation{_why_none(sides)}", field="table")
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
                warnings=side.table.warnings,
                noise_rel=column.noise_rel,
                one_measurement=0 if column is columns[0] else sum(_is_one(column, columns[0])),
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
        left_out=left_out,
    )


def _why_none(sides: Sequence[Side]) -> str:
    """Why tables share no operation, and what would help."""
    spaces = {(side.summary.space, side.summary.space_digest) for side in sides}
    if len(spaces) > 1:
        shown = ", ".join(f"{space} {digest[:12]}" for space, digest in sorted(spaces))
        return f" (spaces: {shown}); compare tables of one definition of a space"
    inputs = ["×".join(map(str, side.table.largest_input)) for side in sides]
    return f": their inputs have different sizes (up to {' and up to '.join(inputs)}); profile one size on both"


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
    log_draws: Draws
    noise: npt.NDArray[np.float64]
    may_judge: Sequence[bool]
    noise_rel: float | None


def _column(side: Side, rows: Sequence[TableRow]) -> _Column:
    known = [side.noise_rel.get(row.measurement_id) for row in rows]
    in_doubt = [rel if rel is not None and rel > NOISY_REL else 0.0 for rel in known]
    told = [rel for rel in known if rel is not None]
    # How far a machine in doubt scattered is not known of a table that came without its measurements.
    is_doubtful = bool(side.table.warnings) and all(row.measurement_id not in side.noise_rel for row in rows)
    return _Column(
        rows,
        [row.latency.median_us for row in rows],
        np.stack([_draws(row, side.samples_us) for row in rows]),
        np.array(in_doubt),
        [not is_doubtful and row.latency.count >= MIN_SAMPLES and not row.quality.throttled for row in rows],
        median(told) if told else None,
    )


def _draws(row: TableRow, samples_us: Mapping[UUID, tuple[float, ...]]) -> Draws:
    # Seeded by the measurement: rows of two tables that share a measurement differ by exactly nothing.
    seed = str(row.measurement_id)
    samples = samples_us.get(row.measurement_id)
    latency = row.latency
    if samples is None:  # a table that came from another server comes without samples
        return log_medians_within(latency.median_us, Interval(latency.low_us, latency.high_us), seed)
    return log_medians(samples, seed)


def _ratios(column: _Column, reference: _Column, margin_rel: float) -> list[Ratio]:
    if column is reference:
        return [_EXACTLY_ONE] * len(column.rows)
    wider = np.log1p(np.hypot(column.noise, reference.noise))
    bounds = intervals(column.log_draws - reference.log_draws)
    return [
        _EXACTLY_ONE if is_one else _ratio(a / b, bound, float(room), margin_rel, may_judge)
        for is_one, a, b, bound, room, may_judge in zip(
            _is_one(column, reference),
            column.medians_us,
            reference.medians_us,
            bounds,
            wider,
            _may_judge(column, reference),
            strict=True,
        )
    ]


def _is_one(column: _Column, reference: _Column) -> list[bool]:
    """Whether both tables hold the very same measurement, by operation."""
    return [row.measurement_id == other.measurement_id for row, other in zip(column.rows, reference.rows, strict=True)]


def _may_judge(column: _Column, reference: _Column) -> list[bool]:
    """Throttling shifts the median, which no interval covers; too few samples have no interval."""
    return [mine and others for mine, others in zip(column.may_judge, reference.may_judge, strict=True)]


def _overall(column: _Column, reference: _Column, margin_rel: float) -> Ratio:
    """The geometric mean of the ratios, with the interval of that mean."""
    if all(_is_one(column, reference)):
        return _EXACTLY_ONE
    count = len(column.rows)
    means = (column.log_draws - reference.log_draws).mean(axis=0)
    judged = sum(_may_judge(column, reference))
    value = geometric_mean_ratio(column.medians_us, reference.medians_us)
    # What a machine in doubt does to all of its rows at once does not average out.
    wider = math.log1p(math.hypot(float(np.median(column.noise)), float(np.median(reference.noise))))
    return _ratio(value, interval(means), wider, margin_rel, judged >= (1 - MAX_UNJUDGED) * count)


def _ratio(value: float, logs: Interval, wider: float, margin_rel: float, may_judge: bool) -> Ratio:
    bounds = Interval(min(math.exp(logs.low), value), max(math.exp(logs.high), value))
    bounds = Interval(bounds.low * math.exp(-wider), bounds.high * math.exp(wider))
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
