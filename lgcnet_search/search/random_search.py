"""Random search (Table VII): networks drawn evenly from the whole space, or from those that are fast enough."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lgcnet_search.errors import Refused
from lgcnet_search.space.candidates import ZERO
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.graph import Edge, Node
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space

Array = NDArray[np.float64]

BATCH = 1024
TRIES = 100


class TooFast(Refused, ValueError):
    """No network of the space is predicted to be so fast; the message says how fast they get."""


class Unit(NamedTuple):
    """Edges whose latencies belong together, because a node adds them up; µs of every combination of candidates."""

    edges: tuple[Edge, ...]
    costs_us: Array

    def choices(self, combination: int) -> dict[str, str]:
        """Edge name → candidate name of a combination."""
        columns = np.unravel_index(combination, [len(edge.candidates) for edge in self.edges])
        return {edge.name: edge.names[int(column)] for edge, column in zip(self.edges, columns, strict=True)}


class RandomSearch:
    """Draws genotypes of a space whose predicted latency (Eq. 9) stays within a ceiling, all of them equally likely.

    Uniform draws hardly ever meet a ceiling far below their mean, so a combination is drawn with probability
    ∝ exp(-τ cost), τ such that the mean meets the ceiling, and accepted with probability ∝ exp(τ cost): what is left
    is uniform over the networks within the ceiling. Raises MissingRows if the table lacks an operation.
    """

    def __init__(self, space: Space, latencies: Latencies) -> None:
        latencies.require(space)
        self.space = space
        edges = {edge.name: edge for edge in space.graph.edges}
        searched = [part for part in space.graph.parts if isinstance(part, Node) and part.zeros]
        alone = [edges[name] for name in edges.keys() - {name for node in searched for name in node.inputs}]
        self.units = [_unit([edge], latencies) for edge in sorted(alone, key=lambda edge: edge.name)]
        self.units += [_unit([edges[name] for name in node.inputs], latencies, node) for node in searched]
        self.fixed_us = latencies.fixed_us(space.graph)

    @property
    def fastest_us(self) -> float:
        """What the fastest networks take."""
        return self.latency_us([int(unit.costs_us.argmin()) for unit in self.units])

    def latency_us(self, combinations: Sequence[int]) -> float:
        """The predicted latency of a network: a combination for each unit."""
        pairs = zip(self.units, combinations, strict=True)
        return self.fixed_us + sum(float(unit.costs_us[combination]) for unit, combination in pairs)

    def genotype(self, combinations: Sequence[int]) -> Genotype:
        """The network of a combination for each unit."""
        choices: dict[str, str] = {}
        for unit, combination in zip(self.units, combinations, strict=True):
            choices.update(unit.choices(combination))
        return Genotype.of(self.space, choices)

    def latencies_us(self, count: int, seed: int) -> Array:
        """The predicted latencies of so many networks, drawn evenly from the whole space, shape (count,)."""
        generator = np.random.default_rng(seed)
        drawn = [generator.choice(unit.costs_us, count) for unit in self.units]
        latencies_us: Array = self.fixed_us + np.sum(drawn, axis=0)
        return latencies_us

    def draw(self, seed: int, at_most_us: float = math.inf, at_least_us: float = 0.0) -> Genotype:
        """A genotype with a predicted latency from `at_least_us` to `at_most_us`; a seed draws it again.

        Raises TooFast where no network is so fast, or none of the many that are drawn is within both.
        """
        if at_most_us < self.fastest_us:
            raise self._too_fast(at_most_us)
        generator = np.random.default_rng(seed)
        room_us = at_most_us - self.fixed_us
        tilt = self._tilt(room_us)
        shares = [_tilted(unit.costs_us, tilt) for unit in self.units]
        for _ in range(TRIES):
            drawn = [generator.choice(len(share), BATCH, p=share) for share in shares]
            spent_us: Array = np.sum(
                [unit.costs_us[combinations] for unit, combinations in zip(self.units, drawn, strict=True)], axis=0
            )
            likelihood = tilt * (spent_us - room_us) if tilt else np.zeros(BATCH)
            accepted = (spent_us <= room_us) & (spent_us >= at_least_us - self.fixed_us)
            accepted &= np.log1p(-generator.random(BATCH)) <= likelihood
            if accepted.any():
                at = int(accepted.argmax())
                return self.genotype([int(row[at]) for row in drawn])
        raise self._too_fast(at_most_us)

    def _too_fast(self, at_most_us: float) -> TooFast:
        return TooFast(
            f"no network takes at most {at_most_us / 1000:.4g} ms; "
            f"the fastest of this space take {self.fastest_us / 1000:.4g} ms by this table"
        )

    def _tilt(self, room_us: float) -> float:
        """τ per microsecond for which a draw's mean is `room_us`; 0 where uniform draws are within it anyway."""

        def mean_us(tilt: float) -> float:
            return sum(float(_tilted(unit.costs_us, tilt) @ unit.costs_us) for unit in self.units)

        if mean_us(0.0) <= room_us:
            return 0.0
        low, high = 0.0, 1e-9
        while mean_us(high) > room_us and high < 1e9:
            high *= 2
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if mean_us(middle) > room_us else (low, middle)
        return high


def _unit(edges: Sequence[Edge], latencies: Latencies, node: Node | None = None) -> Unit:
    """Every combination of the edges' candidates; `node` adds up those that are no zero, or takes zeros."""
    cost = latencies.operation_us
    costs_us = reduce(np.add.outer, [np.array([cost(spec) for spec in edge.candidates.values()]) for edge in edges])
    if node and node.zeros:
        count = reduce(np.add.outer, [np.array([float(name != ZERO) for name in edge.names]) for edge in edges])
        costs_us = costs_us + cost(node.addition) * np.maximum(count - 1, 0)
        costs_us = costs_us + cost(node.zeros.operation) * (count == 0)
    return Unit(tuple(edges), costs_us.flatten())


def _tilted(costs_us: Array, tilt: float) -> Array:
    weights = np.exp(-tilt * (costs_us - costs_us.min()))
    shares: Array = weights / weights.sum()
    return shares
