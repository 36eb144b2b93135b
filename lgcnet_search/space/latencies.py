"""Latencies of operations and networks on a device: by a table and its calibration, or by a transfer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from latency_tables.contract import (
    Basis,
    Calibration,
    Device,
    LatencyTable,
    MissingRows,
    NetworkSpec,
    OperationSpec,
    Runtime,
    Transfer,
    canonical_json,
    sha256,
)
from latency_tables.latencies import basis_of, latency_us
from lgcnet_search.errors import Refused
from lgcnet_search.space.graph import Graph, Node, Step
from lgcnet_search.space.space import Space


class OtherInputSize(MissingRows):
    """A table of networks with another input size; the message names both sizes."""

    def __init__(self, table: LatencyTable, missing: list[OperationSpec], space: Space, sizes: list[str]) -> None:
        super().__init__(table, missing)
        self.args = (
            f"table {table.id} of {table.device.name} is of input size {', '.join(sizes)}, not of "
            f"{space.height}×{space.width}; profile this size (lgcnet-search profile --height {space.height} --width "
            f"{space.width}), or search at the table's",
        )


class Interval(NamedTuple):
    """A measured network as others predict it, and the upper end of its 90 % interval, in microseconds."""

    predicted_us: float
    high_us: float


@dataclass(frozen=True)
class Latencies:
    """The rows of `table`, in microseconds: inside a network if there is a `calibration`, else as measured alone.

    Raises:
        ValueError: the calibration is of another table.
    """

    table: LatencyTable
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        # By id and not by digest: a client older than its server may not know every field that the digest is of.
        if self.calibration is not None and self.calibration.table_id != self.table.id:
            raise ValueError(
                f"calibration: {self.calibration.id} is of table {self.calibration.table_id}, not of {self.table.id}"
            )

    @property
    def device(self) -> Device:
        return self.table.device

    @property
    def runtime(self) -> Runtime:
        return self.table.runtime

    @property
    def origin(self) -> dict[str, str | None]:
        """Ids of what the latencies are made of."""
        return {
            "table_id": str(self.table.id),
            "table_digest": self.table.digest,
            "calibration_id": None if self.calibration is None else str(self.calibration.id),
        }

    @property
    def intervals(self) -> Sequence[Interval]:
        """Those of the networks that were measured; empty without a calibration."""
        evidence = self.calibration.evidence if self.calibration else ()
        return [Interval(network.predicted_us, network.high_us) for network in evidence]

    def require(self, operations: Iterable[OperationSpec]) -> None:
        """Raises MissingRows where an operation has no latency."""
        self.table.require(operations)

    @cached_property
    def digest(self) -> str:
        """Of all that the latencies depend on."""
        calibration = self.calibration
        return sha256(canonical_json([self.table.digest, calibration and calibration.digest]))

    def require_space(self, space: Space) -> None:
        """As `require` for every network of a space; OtherInputSize, a MissingRows, where that is why."""
        try:
            self.require(space.operations)
        except MissingRows as error:
            first = next(part.operation for part in space.graph.parts if isinstance(part, Step))
            of_inputs = [
                row.operation.input_shapes[0]
                for row in self.table.rows
                if (row.operation.name, row.operation.input_shapes[0][0]) == (first.name, first.input_shapes[0][0])
            ]
            if of_inputs and space.input_shape not in of_inputs:
                sizes = [f"{height}×{width}" for _, height, width in of_inputs]
                raise OtherInputSize(self.table, error.missing, space, sizes) from error
            raise

    def operation_us(self, operation: OperationSpec | None) -> float:
        """The latency of an operation; 0 for None, which executes nothing. Raises MissingRows."""
        if operation is None:
            return 0.0
        row = self.table[operation]
        return self._inside[operation.digest] if self.calibration else latency_us(row, self._basis)

    @property
    def constant_us(self) -> float:
        """The part of a network's latency that is no operation's."""
        return self.calibration.constant_us.mean if self.calibration else 0.0

    def fixed_us(self, graph: Graph) -> float:
        """The latency that all networks of a space share: fixed steps, fixed additions, the constant.

        Raises MissingRows.
        """
        fixed = [node for node in graph.parts if isinstance(node, Node) and node.zeros is None]
        steps_us = sum(self.operation_us(part.operation) for part in graph.parts if isinstance(part, Step))
        return self.constant_us + steps_us + sum(self.operation_us(n.addition) * (len(n.inputs) - 1) for n in fixed)

    def network_us(self, network: NetworkSpec) -> float:
        """The sum over the operations that a network executes (Eq. 9), and the constant. Raises MissingRows."""
        self.require(item.operation for item in network.operations)
        return self.constant_us + sum(item.count * self.operation_us(item.operation) for item in network.operations)

    @cached_property
    def _basis(self) -> Basis:
        return basis_of(self.table)

    @cached_property
    def _inside(self) -> Mapping[str, float]:
        return {row.key: row.latency_us for row in self.calibration.rows} if self.calibration else {}


UNCERTAIN = 0.5
"""Standard deviation over latency from which a row of a transfer says nothing."""
MATTERS = 0.02
"""Of the median measured network: a standard deviation up to this does no harm, whatever the row's latency."""


class TooUncertain(Refused, ValueError):
    """A transfer does not know well enough what operations cost; the message says what to do."""


class TransferLatencies(Latencies):
    """In-network costs of a device without a table, by its transfer; never below 0.

    They are made for sums over whole networks, so `intervals` are those of its measured networks.

    Raises:
        TooUncertain: it was made from too few networks to have intervals.
    """

    transfer: Transfer

    def __init__(self, transfer: Transfer) -> None:
        if transfer.card is None:
            raise TooUncertain(
                f"transfer {transfer.id} is made from {len(transfer.evidence)} networks: too few to know how far it is "
                "off; have more measured (lgcnet-search introduce)"
            )
        object.__setattr__(self, "transfer", transfer)

    @property
    def device(self) -> Device:
        return self.transfer.device

    @property
    def runtime(self) -> Runtime:
        return self.transfer.runtime

    @property
    def origin(self) -> dict[str, str | None]:
        return {"transfer_id": str(self.transfer.id)}

    @property
    def intervals(self) -> Sequence[Interval]:
        return [
            Interval(network.predicted_us, network.high_us)
            for network in self.transfer.evidence
            if network.predicted_us is not None and network.high_us is not None
        ]

    def require(self, operations: Iterable[OperationSpec]) -> None:
        """Raises TooUncertain where operations are unknown, or too uncertain to choose by."""
        wanted = {operation.digest: operation for operation in operations}
        unknown = [str(operation) for digest, operation in wanted.items() if digest not in self._rows]
        measured_us = sorted(network.measured_us for network in self.transfer.evidence)
        harmless_us = MATTERS * measured_us[len(measured_us) // 2]
        doubtful = [
            str(operation)
            for digest, operation in wanted.items()
            if digest in self._rows and self._std_us[digest] > max(harmless_us, UNCERTAIN * self._rows[digest])
        ]
        for what, specs in (("knows nothing of", unknown), ("is too uncertain about", doubtful)):
            if specs:
                shown = "; ".join(specs[:3]) + ("; …" if len(specs) > 3 else "")
                raise TooUncertain(
                    f"transfer {self.transfer.id} {what} {len(specs)} of {len(wanted)} operations: {shown}. Have more "
                    "networks measured (lgcnet-search introduce --networks), or a table (lgcnet-search profile)"
                )

    @cached_property
    def digest(self) -> str:
        return self.transfer.digest

    def operation_us(self, operation: OperationSpec | None) -> float:
        """Raises TooUncertain for an unknown one."""
        if operation is None:
            return 0.0
        if operation.digest not in self._rows:
            self.require([operation])
        return self._rows[operation.digest]

    @property
    def constant_us(self) -> float:
        return self.transfer.constant_us.mean

    @cached_property
    def _rows(self) -> Mapping[str, float]:
        return {row.key: max(row.latency_us, 0.0) for row in self.transfer.rows}

    @cached_property
    def _std_us(self) -> Mapping[str, float]:
        return {row.key: row.std_us for row in self.transfer.rows}
