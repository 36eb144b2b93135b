"""Tables side by side."""

from typing import Annotated, Literal

from pydantic import Field

from latency_tables.contract.base import Contract, Count, Positive
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
    `missing`: what another compared table holds and this one does not.
    """

    table: TableSummary
    overall: Ratio
    verdicts: VerdictCounts
    doubtful: Count
    tau: float | None
    tau_same_input: float | None
    proxy: str
    missing: tuple[OperationSpec, ...]


class Comparison(Contract):
    """Tables side by side over the operations that all of them hold; the first table is the reference.

    A verdict is `same` if the whole interval lies within a factor 1 + `margin_rel` of 1, `slower` or `faster` if
    the whole interval lies beyond it, and `ambiguous` otherwise. `unlike` says in which conditions, other than
    device, mode, precision and date, the tables differ; such a comparison is made only if it was asked for. Precisions
    are meant to be compared: what does fp16 save?
    """

    margin_rel: Positive
    unlike: tuple[str, ...]
    tables: Annotated[tuple[ComparedTable, ...], Field(min_length=2)]
    operations: tuple[ComparedOperation, ...]
