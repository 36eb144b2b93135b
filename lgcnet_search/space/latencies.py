"""Latencies of operations and networks on a device: by a table, and by its calibration if it has one."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from latency_tables.contract import (
    Basis,
    Calibration,
    LatencyTable,
    MissingRows,
    NetworkSpec,
    OperationSpec,
    canonical_json,
    sha256,
)
from latency_tables.latencies import basis_of, latency_us
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

    @cached_property
    def digest(self) -> str:
        """Of all that the latencies depend on."""
        calibration = self.calibration
        return sha256(canonical_json([self.table.digest, calibration and calibration.digest]))

    def require(self, space: Space) -> None:
        """Raise MissingRows unless every network of a space can be predicted, OtherInputSize where that is why."""
        try:
            self.table.require(space.operations)
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
        self.table.require(item.operation for item in network.operations)
        return self.constant_us + sum(item.count * self.operation_us(item.operation) for item in network.operations)

    @cached_property
    def _basis(self) -> Basis:
        return basis_of(self.table)

    @cached_property
    def _inside(self) -> Mapping[str, float]:
        return {row.key: row.latency_us for row in self.calibration.rows} if self.calibration else {}
