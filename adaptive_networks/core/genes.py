"""Spaces whose choices have an index for each gene."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from random import Random

from adaptive_networks.core.plugin import Choice


class Genes(ABC):
    """What there is to choose, by name; a choice has the index of each gene's value, in the order of `genes`."""

    @property
    @abstractmethod
    def genes(self) -> Mapping[str, tuple[int, ...]]:
        """The values of each, smallest first."""

    @abstractmethod
    def acts(self, gene: str, values: Mapping[str, int]) -> bool:
        """Whether a gene changes anything where the genes have these values."""

    @property
    def largest(self) -> Choice:
        return tuple(len(values) - 1 for values in self.genes.values())

    @property
    def smallest(self) -> Choice:
        return (0,) * len(self.genes)

    def random(self, generator: Random) -> Choice:
        return self.canonical(tuple(generator.randrange(len(values)) for values in self.genes.values()))

    def canonical(self, choice: Choice) -> Choice:
        """Genes that do nothing are 0, so that equal networks are equal choices. Raises ValueError as `values`."""
        values = self.values(choice)
        return tuple(index if self.acts(name, values) else 0 for index, name in zip(choice, self.genes, strict=True))

    def values(self, choice: Choice) -> dict[str, int]:
        """By gene. Raises ValueError naming gene and index."""
        if len(choice) != len(self.genes):
            raise ValueError(f"choice: {len(choice)} indices given, there are {len(self.genes)} genes")
        for index, (name, values) in zip(choice, self.genes.items(), strict=True):
            if not 0 <= index < len(values):
                raise ValueError(f"choice: {name} is {index}, it has {len(values)} values: {values}")
        return {name: values[index] for index, (name, values) in zip(choice, self.genes.items(), strict=True)}

    def dealt(self, count: int, share: float, generator: Random) -> list[Choice]:
        """Members whose values of each gene are dealt out evenly, in an order of its own.

        On offer is the largest value alone with a `share` of 0, all with 1.
        """
        columns = []
        for values in self.genes.values():
            offered = range(len(values) - 1 - int(share * (len(values) - 1)), len(values))
            indices: list[int] = []
            while len(indices) < count:
                indices += generator.sample(offered, len(offered))
            columns.append(indices[:count])
        return [self.canonical(choice) for choice in zip(*columns, strict=True)]
