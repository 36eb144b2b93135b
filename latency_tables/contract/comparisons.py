"""Tables side by side."""

from typing import Annotated, Literal

from pydantic import Field

from latency_tables.contract.base import MAX_WARNINGS, Contract, Count, NonNegative, Positive, Text
from latency_tables.contract.specs import OperationSpec
from latency_tables.contract.tables import TableSummary

Verdict = Literal["faster", "slower", "same", "ambiguous"]


class Ratio(Contract):
    """A latency relative to the reference table's: above 1 is slower. `low` to `high` is its 95 % interval."""

    value: Positive
    low: Positive
    high: Positive
    verdict: Verdict


class ComparedOperation(Contract):
    """One operation that all compared tables hold; one entry per table, the reference first.

    `sound` is False where the measurement is not converged, noisy or throttled.
    """

    operation: OperationSpec
    latencies_us: tuple[Positive, ...]
    sound: tuple[bool, ...]
    ratios: tuple[Ratio, ...]


class VerdictCounts(Contract):
    """Over how many operations each verdict was reached."""

    faster: Count = 0
    slower: Count = 0
    same: Count = 0
    ambiguous: Count = 0


class ComparedTable(Contract):
    """A table against the reference, over the shared operations.

    `overall` is the geometric mean of the ratios. `tau` is Kendall's τ-b of its latencies with the reference's,
    `tau_same_input` the same over pairs of operations with equal inputs only: those that a search chooses between.
    Both are None where undefined. `proxy` says in words whether this table would do in place of the reference.
    `missing`: what another compared table holds and this one does not. `warnings` are those of the table: with any, its
    machine is in doubt. `noise_rel` is by how much that machine's references scattered, so that it may differ from
    itself by as much: the intervals of such a table are wider by it. `one_measurement`: for how many operations both
    tables hold the very same measurement, so that they are equal there whatever a second one would have said.
    """

    table: TableSummary
    overall: Ratio
    verdicts: VerdictCounts
    doubtful: Count
    tau: float | None
    tau_same_input: float | None
    proxy: str
    missing: tuple[OperationSpec, ...]
    warnings: Annotated[tuple[Text, ...], Field(max_length=MAX_WARNINGS)] = ()
    noise_rel: NonNegative | None = None
    one_measurement: Count = 0


class Comparison(Contract):
    """Tables side by side over the operations that all of them hold; the first table is the reference.

    A verdict is `same` if the whole interval lies within a factor 1 + `margin_rel` of 1, `slower` or `faster` if
    the whole interval lies beyond it, and `ambiguous` otherwise. `unlike` says in which conditions, other than
    device, mode, precision and date, the tables differ; such a comparison is made only if it was asked for. Precisions
    are meant to be compared: what does fp16 save? `left_out`: how many shared operations are not compared, because
    there are too many; those that are compared were picked evenly, by their digests.
    """

    margin_rel: Positive
    unlike: tuple[str, ...]
    tables: Annotated[tuple[ComparedTable, ...], Field(min_length=2)]
    operations: tuple[ComparedOperation, ...]
    left_out: Count = 0
