"""A table as its page shows it: the rows of one part become texts when it is asked for, so a large table opens at once.

To make a LatencyTable of 10 000 rows takes half a second, to parse its JSON a tenth of that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic_core import from_json, to_json

from latency_tables.contract import Environment, LatencyTable, Quality, Runtime, TableRow
from lut_server.pages.formatting import one_decimal, params, shapes, whole


class KeptRow(NamedTuple):
    """What rows are chosen and ordered by, and the row as JSON: a tenth of the memory of a TableRow."""

    name: str
    median_us: float
    is_doubtful: bool
    json: bytes

    def shown(self) -> "ShownRow":
        return ShownRow.of(TableRow.model_validate_json(self.json))


class ShownRow(NamedTuple):
    """One row; `doubt` says in words why it is doubtful, "" if it is sound. `quiet`: at the machine's quiet speed."""

    key: str
    name: str
    input: str
    params: str
    median: str
    interval: str
    quiet: str
    blocks: int
    weights: str
    macs: str
    memory: str
    doubt: str

    @classmethod
    def of(cls, row: TableRow) -> "ShownRow":
        latency, costs = row.latency, row.costs
        return cls(
            key=row.operation.digest,
            name=row.operation.name,
            input=shapes(row.operation),
            params=params(row.operation),
            median=one_decimal(latency.median_us),
            interval=f"{one_decimal(latency.low_us)} – {one_decimal(latency.high_us)}",
            quiet="" if row.normalized_us is None else one_decimal(row.normalized_us),
            blocks=latency.count,
            weights=whole(costs.parameters) if costs else "",
            macs=one_decimal(costs.macs / 1e6) if costs else "",
            memory=one_decimal(costs.peak_memory_bytes / 2**20) if costs else "",
            doubt=", ".join(row.quality.doubts),
        )


@dataclass(frozen=True)
class ShownTable:
    """A table whose rows are texts only where they are shown.

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
    all_rows: Sequence[KeptRow]
    doubtful: int

    @classmethod
    def of(cls, content: bytes) -> "ShownTable":
        """`content`: a LatencyTable as JSON, as this server stored it."""
        parsed = from_json(content)
        all_parsed = parsed["rows"]
        table = LatencyTable.model_validate_json(to_json({**parsed, "rows": all_parsed[:1]}))
        rows = [
            KeptRow(
                name=row["operation"]["name"],
                median_us=row["latency"]["median_us"],
                is_doubtful=not Quality.model_validate(row["quality"]).sound,
                json=to_json(row),
            )
            for row in all_parsed
        ]
        return cls(
            device=table.device.uuid,
            device_name=table.device.name,
            environment=table.environment,
            runtime=table.runtime,
            method_version=table.method_version,
            warnings=table.warnings,
            has_costs=any(row.get("costs") for row in all_parsed),
            has_quiet=all(row.get("normalized_us") is not None for row in all_parsed),
            names=sorted({row.name for row in rows}),
            all_rows=sorted(rows, key=lambda row: (row.name, row.median_us)),
            doubtful=sum(row.is_doubtful for row in rows),
        )

    def rows(self, name: str = "", *, doubtful_only: bool = False, by_latency: bool = False) -> Sequence[KeptRow]:
        """The rows of an operation (of all with ""), by name and latency, or by latency alone."""
        rows = [
            row for row in self.all_rows if (not name or row.name == name) and (row.is_doubtful or not doubtful_only)
        ]
        return sorted(rows, key=lambda row: row.median_us) if by_latency else rows
