"""A table as its page shows it: rows as texts, made once, so that a page of a large table is quick."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from latency_tables.contract import Environment, LatencyTable, Runtime, TableRow
from latency_tables.latencies import basis_of
from lut_server.pages.formatting import one_decimal, params, shapes, whole


class ShownRow(NamedTuple):
    """One row; `doubt` says in words why it is doubtful, "" if it is sound. `quiet`: at the machine's quiet speed."""

    key: str
    name: str
    input: str
    params: str
    median_us: float
    median: str
    interval: str
    quiet: str
    blocks: int
    weights: str
    macs: str
    memory: str
    doubt: str


@dataclass(frozen=True)
class ShownTable:
    """A table without its samples; it takes about a tenth of the memory of a LatencyTable.

    `has_quiet`: sums over its rows are of latencies at the machine's quiet speed, which every row has.
    """

    device: str
    device_name: str
    environment: Environment
    runtime: Runtime
    method_version: str
    warnings: tuple[str, ...]
    has_costs: bool
    has_quiet: bool
    names: Sequence[str]
    all_rows: Sequence[ShownRow]
    doubtful: int

    @classmethod
    def of(cls, table: LatencyTable) -> "ShownTable":
        rows = sorted(map(_shown, table.rows), key=lambda row: (row.name, row.median_us))
        return cls(
            device=table.device.uuid,
            device_name=table.device.name,
            environment=table.environment,
            runtime=table.runtime,
            method_version=table.method_version,
            warnings=table.warnings,
            has_costs=any(row.costs for row in table.rows),
            has_quiet=basis_of(table) == "normalized_us",
            names=sorted({row.name for row in rows}),
            all_rows=rows,
            doubtful=sum(bool(row.doubt) for row in rows),
        )

    def rows(self, name: str = "", *, doubtful_only: bool = False, by_latency: bool = False) -> Sequence[ShownRow]:
        """The rows of an operation (of all with ""), by name and latency, or by latency alone."""
        rows = [row for row in self.all_rows if (not name or row.name == name) and (row.doubt or not doubtful_only)]
        return sorted(rows, key=lambda row: row.median_us) if by_latency else rows


def _shown(row: TableRow) -> ShownRow:
    latency, quality, costs = row.latency, row.quality, row.costs
    doubts = (("not converged", not quality.converged), ("noisy", quality.noisy), ("throttled", quality.throttled))
    return ShownRow(
        key=row.operation.digest,
        name=row.operation.name,
        input=shapes(row.operation),
        params=params(row.operation),
        median_us=latency.median_us,
        median=one_decimal(latency.median_us),
        interval=f"{one_decimal(latency.low_us)} – {one_decimal(latency.high_us)}",
        quiet="" if row.normalized_us is None else one_decimal(row.normalized_us),
        blocks=latency.count,
        weights=whole(costs.parameters) if costs else "",
        macs=one_decimal(costs.macs / 1e6) if costs else "",
        memory=one_decimal(costs.peak_memory_bytes / 2**20) if costs else "",
        doubt=", ".join(word for word, holds in doubts if holds),
    )
