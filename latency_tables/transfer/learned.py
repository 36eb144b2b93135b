"""What the devices that are known teach about a space, in contract objects: the way into this package."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from latency_tables.calibration.estimates import Floats, TimedNetwork
from latency_tables.contract import NetworkSpec, OperationSpec, Work
from latency_tables.transfer import design
from latency_tables.transfer.features import Features
from latency_tables.transfer.new_device import Components, NewDevice
from latency_tables.transfer.sources import TimedCounts, inferred

MAX_SEEN = 2000
"""Networks that stand for the space; of more, the first ones."""


@dataclass(frozen=True)
class CalibratedSource:
    """A device whose table is calibrated: what operations cost inside a network, by digest, and a network beside them.

    `operations` are those of the table, `networks` those of the calibration's evidence.
    """

    name: str
    operations: Sequence[OperationSpec]
    rows_us: Mapping[str, float]
    constant_us: float
    networks: Sequence[NetworkSpec]

    def knows(self, digests: set[str]) -> bool:
        return digests <= self.rows_us.keys()


@dataclass(frozen=True)
class PublishedSource:
    """A device of which latencies of networks are known, and nothing else."""

    name: str
    observed: Sequence[TimedNetwork]

    @property
    def operations(self) -> list[OperationSpec]:
        return list(_operations(self.networks).values())

    @property
    def networks(self) -> list[NetworkSpec]:
        return [timed.network for timed in self.observed]

    def knows(self, digests: set[str]) -> bool:
        return digests <= _operations(self.networks).keys()


Source = CalibratedSource | PublishedSource


class NoSources(LookupError):
    """No device that is known has the operations of these networks."""


class Learned:
    """What sources teach about networks of their space.

    A source that lacks an operation of the networks in `needed` is left out (`sources` are those that are not).
    `works` are the operations' work by digest, as far as it was counted.

    Raises:
        NoSources: none is left.
    """

    def __init__(self, sources: Sequence[Source], needed: Sequence[NetworkSpec], works: Mapping[str, Work]) -> None:
        digests = set(_operations(needed))
        self.sources = [source for source in sources if source.knows(digests)]
        if not self.sources:
            reason = (
                f"none of {len(sources)} sources has all {len(digests)} operations of these networks"
                if sources
                else "nothing is known of this space on other devices"
            )
            raise NoSources(
                f"{reason}; calibrate a table of another device or runtime for this space and input size, or import "
                "published latencies of it"
            )
        networks = {
            network.digest: network
            for group in (needed, *(source.networks for source in self.sources))
            for network in group[:MAX_SEEN]
        }
        operations = _operations(needed)
        for source in self.sources:
            operations |= {operation.digest: operation for operation in source.operations}
        self.features = Features(
            [operation for digest, operation in operations.items() if self._all_know(digest)],
            works,
            [network for network in networks.values() if self._all_know(*_operations([network]))][:MAX_SEEN],
        )
        self.components = Components(self.features, self._costs())

    def counts(self, networks: Sequence[NetworkSpec]) -> Floats:
        """How often networks execute each operation. Raises UnknownOperations."""
        return self.features.counts(networks)

    def new_device(self, observed: Sequence[TimedNetwork]) -> NewDevice:
        """A device that measured some networks. Raises ValueError, UnknownOperations."""
        counts = self.counts([timed.network for timed in observed])
        return NewDevice(self.components, counts, np.array([timed.measured_us for timed in observed]))

    def choose(
        self, candidates: Sequence[NetworkSpec], count: int, measured: Sequence[NetworkSpec] = ()
    ) -> list[NetworkSpec]:
        """The next networks to measure, those that tell most first. Raises UnknownOperations, ValueError."""
        chosen = design.choose(
            self.components.main, self.counts(candidates), count, self.counts(measured) if measured else None
        )
        return [candidates[index] for index in chosen]

    def rank(self, networks: Sequence[NetworkSpec]) -> Floats:
        """Relative latencies on the mean of the sources: all that is known before anything was measured."""
        return self.components.main.of(self.counts(networks)).mean

    def _all_know(self, *digests: str) -> bool:
        """Whether every table has rows of these operations; what a publication lacks is inferred from the others."""
        tables = [source.rows_us.keys() for source in self.sources if isinstance(source, CalibratedSource)]
        return all(keys >= set(digests) for keys in tables)

    def _costs(self) -> Floats:
        """Relative costs of every source, in their order."""
        calibrated = [source for source in self.sources if isinstance(source, CalibratedSource)]
        published = [source for source in self.sources if isinstance(source, PublishedSource)]
        costs = [self.features.costs(source.rows_us, source.constant_us) for source in calibrated]
        known = self.features.relative(np.array(costs).reshape(len(costs), self.features.width))
        guessed = inferred(self.features, [self._timed(source) for source in published], known) if published else known
        rows = {id(source): row for source, row in zip(calibrated, known, strict=True)}
        rows |= {id(source): row for source, row in zip(published, guessed, strict=False)}
        return np.array([rows[id(source)] for source in self.sources])

    def _timed(self, source: PublishedSource) -> TimedCounts:
        usable = [timed for timed in source.observed if self.features.knows(timed.network)]
        counts = self.counts([timed.network for timed in usable])
        return TimedCounts(counts, np.array([timed.measured_us for timed in usable]))


def _operations(networks: Sequence[NetworkSpec]) -> dict[str, OperationSpec]:
    return {item.operation.digest: item.operation for network in networks for item in network.operations}
