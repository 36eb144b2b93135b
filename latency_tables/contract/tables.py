"""Latency tables: one device, environment, runtime and space."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from latency_tables.contract.base import (
    MAX_OPERATIONS,
    MAX_WARNINGS,
    Contract,
    Count,
    Digest,
    Name,
    Shape,
    Text,
    canonical_json,
    largest_shape,
)
from latency_tables.contract.devices import Device, Environment, Runtime
from latency_tables.contract.measurements import Costs, Figures, Latency, Quality, Work
from latency_tables.contract.specs import OperationSpec

if TYPE_CHECKING:
    from pandas import DataFrame


FIGURES = tuple(name for name in Figures.model_fields if name not in ("costs", "work"))
"""The columns of a row's figures; costs and work have one for each of their fields."""
WORK = {name: f"work_{name}" for name in Work.model_fields}
"""The column of each field of the work."""


class TableRow(Figures):
    """One operation's latency, as measured alone, with the figures of its measurement, and where the samples are."""

    operation: OperationSpec
    latency: Latency
    quality: Quality
    measurement_id: UUID


class LatencyTable(Contract):
    """Latencies of one device, one environment, one runtime and one space; immutable.

    `digest` is of its content, which is all fields but `id`, `created_at` and `warnings`. `warnings` say in words what
    was wrong with the machine while the rows were measured.
    """

    not_content: ClassVar = frozenset({"id", "created_at", "warnings"})

    id: UUID
    created_at: AwareDatetime
    device: Device
    environment: Environment
    runtime: Runtime
    method_version: Name
    space: Name
    space_digest: Digest
    rows: Annotated[tuple[TableRow, ...], Field(min_length=1, max_length=MAX_OPERATIONS)]
    warnings: Annotated[tuple[Text, ...], Field(max_length=MAX_WARNINGS)] = ()

    @property
    def largest_input(self) -> tuple[int, ...]:
        """The input with the most pixels (or numbers, without two last axes) among its operations."""
        return largest_shape([shape for row in self.rows for shape in row.operation.input_shapes])

    @cached_property
    def _by_digest(self) -> dict[str, TableRow]:
        return {row.operation.digest: row for row in self.rows}

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows, each as one flat mapping of plain values; latencies in microseconds."""
        for row in self.rows:
            spec = row.operation
            yield {
                "space": spec.space,
                "name": spec.name,
                "input_shapes": " ".join("x".join(map(str, shape)) for shape in spec.input_shapes),
                "params": canonical_json(dict(spec.params)),
                "key": spec.digest,
                **row.latency.model_dump(),
                **row.quality.model_dump(),
                **row.model_dump(include=set(FIGURES)),
                **(row.costs.model_dump() if row.costs else dict.fromkeys(Costs.model_fields)),
                **{column: row.work and getattr(row.work, name) for name, column in WORK.items()},
                "measurement_id": str(row.measurement_id),
            }

    def to_pandas(self) -> "DataFrame":
        """A DataFrame with a line per operation; latencies in microseconds.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ModuleNotFoundError as error:
            raise ImportError("LatencyTable.to_pandas needs pandas: pip install pandas") from error
        return DataFrame(self.records())

    def __getitem__(self, operation: OperationSpec) -> TableRow:
        """The row of an operation. Raises MissingRows without one."""
        self.require([operation])
        return self._by_digest[operation.digest]

    def require(self, operations: Iterable[OperationSpec]) -> None:
        """Raise MissingRows naming every operation that has no row here."""
        missing = [operation for operation in operations if operation.digest not in self._by_digest]
        if missing:
            raise MissingRows(self, missing)


class TableFile(Contract):
    """A table in a file, with the digest of its content."""

    content_digest: Digest
    table: LatencyTable

    @model_validator(mode="after")
    def _check(self) -> "TableFile":
        if self.table.digest != self.content_digest:
            raise ValueError(
                f"content_digest={self.content_digest!r}: the content of table {self.table.id} has digest "
                f"{self.table.digest}; the file was changed or damaged, or a newer version wrote it"
            )
        return self


class MissingRows(LookupError):
    """A table lacks operations; `missing` lists them."""

    def __init__(self, table: LatencyTable, missing: list[OperationSpec]) -> None:
        self.missing = missing
        shown = "; ".join(map(str, missing[:3])) + ("; …" if len(missing) > 3 else "")
        hint = ""
        if {operation.space_digest for operation in missing} != {table.space_digest}:
            hint = " (the table belongs to another definition of the space)"
        super().__init__(
            f"table {table.id} of {table.device.name} has no row for {len(missing)} operation"
            f"{'s' * (len(missing) != 1)}{hint}: {shown}. "
            "Profile them first, at the input size of the network: lgcnet-search profile --size HEIGHTxWIDTH, or post "
            "a job with these operations."
        )


class TableSummary(Contract):
    """A table without its rows.

    `largest_input` is the input with the most pixels among its operations. `requested_by` asked for the job that built
    the table.
    """

    id: UUID
    content_digest: Digest
    created_at: AwareDatetime
    device: str
    device_name: str
    environment: Digest
    runtime: Runtime
    method_version: Name
    space: Name
    space_digest: Digest
    rows: Count
    largest_input: Shape | None = None
    requested_by: Text | None = None
