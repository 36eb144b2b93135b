"""Networks as counts of operations, and what is known of the operations on no device: kinds and work."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np

from latency_tables.calibration.estimates import Floats
from latency_tables.calibration.rows import label
from latency_tables.contract import NetworkSpec, OperationSpec, Work

LEVELS = ("name", "place", "stage", "row")
"""Groups of operations that may cost more or less together: a kind, a resolution, a kind there, a single one."""
_COUNTED = ("macs", "elements", "weights", "launches", "depthwise_macs")
_FROM_SHAPES = ("elements", "launches")
"""All that is known of the work of an operation that was never counted."""


class UnknownOperations(LookupError):
    """A network executes operations that no source knows; `missing` lists them."""

    def __init__(self, missing: Sequence[OperationSpec]) -> None:
        self.missing = list(missing)
        shown = "; ".join(map(str, missing[:3])) + ("; …" if len(missing) > 3 else "")
        super().__init__(
            f"no source of this space knows {len(missing)} of the network's operations: {shown}. Profile them on a "
            "device that has a table, or import latencies of networks that execute them"
        )


class Features:
    """The operations of a space as columns; column 0 counts 1 for what a network costs beside its operations.

    `seen` are networks of the space: they define the mean network, and an operation that all of them execute equally
    often is not told apart from that constant.

    Args:
        operations: every operation that the sources know.
        works: by digest. If one is missing, input shapes and one launch for each operation take the place of all.
        seen: at least one network of these operations.
    """

    def __init__(
        self, operations: Iterable[OperationSpec], works: Mapping[str, Work], seen: Sequence[NetworkSpec]
    ) -> None:
        self.operations = tuple({operation.digest: operation for operation in operations}.values())
        self._columns = {operation.digest: column for column, operation in enumerate(self.operations, start=1)}
        self._works = works
        self.counted = all(operation.digest in works for operation in self.operations)
        self.seen = self.counts(seen)

    @property
    def width(self) -> int:
        """Columns, the constant's among them."""
        return 1 + len(self.operations)

    def counts(self, networks: Sequence[NetworkSpec]) -> Floats:
        """How often each network executes each operation: networks × columns. Raises UnknownOperations."""
        counts = np.zeros((len(networks), self.width))
        counts[:, 0] = 1.0
        unknown: dict[str, OperationSpec] = {}
        for row, network in enumerate(networks):
            for item in network.operations:
                column = self._columns.get(item.operation.digest)
                if column is None:
                    unknown[item.operation.digest] = item.operation
                else:
                    counts[row, column] = item.count
        if unknown:
            raise UnknownOperations(list(unknown.values()))
        return counts

    def knows(self, network: NetworkSpec) -> bool:
        """Whether every operation of a network has its column."""
        return all(item.operation.digest in self._columns for item in network.operations)

    def costs(self, by_digest: Mapping[str, float], constant: float) -> Floats:
        """What each column costs; every operation needs its cost. Raises KeyError."""
        return np.array([constant, *(by_digest[operation.digest] for operation in self.operations)])

    def column(self, digest: str) -> int:
        """Raises KeyError."""
        return self._columns[digest]

    def relative(self, costs: Floats) -> Floats:
        """Costs (devices × columns) over that of the mean network, so that it costs 1 everywhere."""
        relative: Floats = costs / (self.seen @ costs.T).mean(axis=0)[:, None]
        return relative

    @cached_property
    def groups(self) -> dict[str, Floats]:
        """For each level, columns × groups: 1 where a column belongs to a group."""
        varied = (np.ptp(self.seen, axis=0) > 0) | (self.seen.max(axis=0) == 0)
        groups = {}
        for level in LEVELS:
            labels = ["", *(label(level, operation) for operation in self.operations)]
            names = sorted({label for label, varies in zip(labels, varied, strict=True) if varies and label})
            member = [
                [float(varies and label == name) for name in names]
                for label, varies in zip(labels, varied, strict=True)
            ]
            groups[level] = np.array(member).reshape(self.width, len(names))
        return groups

    @cached_property
    def physical(self) -> Floats:
        """Virtual devices × columns, each with a mean network of 1: on one, an operation costs its multiply-adds, on
        another its elements, and so on. Where engines may leave operations out, each of them with these and without.
        """
        devices = []
        for name in _COUNTED if self.counted else _FROM_SHAPES:
            work = np.array([0.0, *(self._work(operation, name) for operation in self.operations)])
            used = work * np.array([1.0, *(not self._unused(operation) for operation in self.operations)])
            devices += [used] if np.array_equal(used, work) else [used, work]
        total = [float((self.seen @ device).mean()) for device in devices]
        known = [device / mean for device, mean in zip(devices, total, strict=True) if mean > 0]
        return np.array(known).reshape(len(known), self.width)

    def _work(self, operation: OperationSpec, name: str) -> float:
        if self.counted:
            return float(getattr(self._works[operation.digest], name))
        return 1.0 if name == "launches" else float(sum(np.prod(shape) for shape in operation.input_shapes))

    def _unused(self, operation: OperationSpec) -> bool:
        return self.counted and self._works[operation.digest].unused
