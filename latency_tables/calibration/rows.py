"""A table's rows as columns of networks, and the directions in which a network's sum of rows may be wrong."""

import math
from collections.abc import Sequence

import numpy as np

from latency_tables.calibration.directions import Directions
from latency_tables.calibration.estimates import Floats
from latency_tables.contract import Basis, LatencyTable, NetworkSpec, OperationSpec
from latency_tables.latencies import latency_us, std_rel


def label(level: str, operation: OperationSpec) -> str:
    """Which group of a level an operation is in: of its name, its resolution, its name there, or a single one."""
    resolution = "×".join(map(str, operation.input_shapes[0][1:]))
    return {
        "name": operation.name,
        "place": resolution,
        "stage": f"{operation.name} at {resolution}",
        "row": operation.digest,
    }[level]


class Rows:
    """The rows of a table.

    Args:
        unit_us: what a constant of 1 costs beside the rows, in microseconds: the mean network's sum.
        others: what devices differ by from this table, relative, devices × rows.
    """

    def __init__(self, table: LatencyTable, basis: Basis, unit_us: float, others: Floats) -> None:
        self._table, self.unit_us = table, unit_us
        self._columns = {row.operation.digest: column for column, row in enumerate(table.rows)}
        self.us = np.array([latency_us(row, basis) for row in table.rows])
        self._error = np.array([std_rel(row, basis) or 0.0 for row in table.rows])
        operations = [row.operation for row in table.rows]
        self._groups = {
            "scale": np.ones((len(operations), 1)),
            "name": _members("name", operations),
            "stage": _members("stage", operations),
            "device": others.T / math.sqrt(max(len(others), 1)),
        }

    def index(self, operation: OperationSpec) -> int:
        """The column of an operation. Raises MissingRows."""
        self._table.require([operation])
        return self._columns[operation.digest]

    def of(self, networks: Sequence[NetworkSpec]) -> Directions:
        """Networks, whose mean is their sum of rows in microseconds. Raises MissingRows."""
        parts = self.parts(networks)
        return self.of_parts(parts, np.ones(len(networks)))

    def parts(self, networks: Sequence[NetworkSpec]) -> Floats:
        """What each row adds to each network's sum, in microseconds: networks × rows. Raises MissingRows."""
        counts = np.zeros((len(networks), len(self.us)))
        for index, network in enumerate(networks):
            self._table.require(item.operation for item in network.operations)
            for item in network.operations:
                counts[index, self._columns[item.operation.digest]] = item.count
        return np.asarray(counts * self.us)

    def of_parts(self, parts: Floats, constants: Floats) -> Directions:
        """Sums of rows (sums × rows, microseconds), each beside so many constants."""
        sums = parts.sum(axis=1)
        shares = parts / sums[:, None]
        blocks = {block: shares @ members for block, members in self._groups.items()}
        blocks["constant"] = (constants * self.unit_us / sums)[:, None]
        blocks["row"], blocks["error"] = shares, shares * self._error
        return Directions(sums, blocks)

    def single(self, columns: Sequence[int]) -> Directions:
        """Each of these rows by itself, without a constant."""
        parts = np.zeros((len(columns), len(self.us)))
        parts[np.arange(len(columns)), list(columns)] = self.us[list(columns)]
        return self.of_parts(parts, np.zeros(len(columns)))

    def constant(self) -> Directions:
        """A constant by itself, as a share of `unit_us`."""
        nothing = self.of_parts(np.ones((1, len(self.us))), np.zeros(1))
        blocks = {block: np.zeros_like(vectors) for block, vectors in nothing.blocks.items()}
        return Directions(np.array([self.unit_us]), blocks | {"constant": np.ones((1, 1))})


def _members(level: str, operations: Sequence[OperationSpec]) -> Floats:
    """Operations × groups: 1 where an operation belongs to a group."""
    labels = [label(level, operation) for operation in operations]
    groups = {group: column for column, group in enumerate(sorted(set(labels)))}
    members = np.zeros((len(labels), len(groups)))
    members[np.arange(len(labels)), [groups[group] for group in labels]] = 1.0
    return members
