"""Latencies of operations and networks on a device: by a table, and by its calibration if it has one."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from latency_tables.contract import Basis, Calibration, LatencyTable, NetworkSpec, OperationSpec, canonical_json, sha256
from latency_tables.latencies import basis_of, latency_us
from lgcnet_search.space.graph import Graph, Node, Step


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
