"""Architecture and thresholds together under a ceiling: evolution over members, a sweep over thresholds for each."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from adaptive_networks.core.exits import CeilingTooLow, Operating, all_to, mean_us, operate, sweep, swept
from adaptive_networks.core.images import Judged
from adaptive_networks.core.plugin import Choice, Space
from lgcnet_search.evolution.population import Choices, Population


class Searchable(Space, Protocol):
    """A space whose choices have an index for each gene, in the order of `genes`."""

    @property
    def genes(self) -> Mapping[str, tuple[int, ...]]:
        """The values of each, by name."""
        ...

    @property
    def smallest(self) -> Choice: ...

    @property
    def largest(self) -> Choice: ...

    def random(self, generator: random.Random) -> Choice: ...

    def canonical(self, choice: Choice) -> Choice:
        """Equal for equal networks."""
        ...


PathCosts = Callable[[Choice], Sequence[float]]
"""Microseconds of the path to each exit of a member."""

DRAWS = 200
"""Random members that are too slow before the smallest one is taken."""


class Found(NamedTuple):
    """A member that was judged, its best thresholds under the ceiling, and what they cost in the mean."""

    choice: Choice
    operating: Operating
    cost_us: float


def search(
    space: Searchable,
    cost: PathCosts,
    judge: Callable[[Choice], Judged],
    at_most_us: float,
    generations: int,
    population: int,
    seed: int = 0,
) -> list[Found]:
    """All members that were judged, best first: accuracy of held-out images with an expected latency in the ceiling.

    A member whose first path is too slow is refused before it is run; thresholds cost no further run. Raises
    CeilingTooLow where even the smallest member's first path is too slow.
    """
    fastest_us = cost(space.smallest)[0]
    if fastest_us > at_most_us:
        raise CeilingTooLow(
            f"ceiling: {at_most_us / 1000:.6g} ms is too low: the smallest member takes {fastest_us / 1000:.6g} ms "
            "to its first exit"
        )

    def draw(number: int) -> Choices:
        generator = random.Random(f"{seed} {number}")
        for _ in range(DRAWS):
            choice = space.random(generator)
            if cost(choice)[0] <= at_most_us:
                return named(space, choice)
        return named(space, space.smallest)

    asking = Population(
        {name: tuple(map(str, values)) for name, values in space.genes.items()},
        lambda choices: cost(chosen(space, choices))[0],
        draw,
        at_most_us,
        population,
        seed,
    )
    known: dict[Choice, Found] = {}
    for _ in range(generations):
        for asked in [asking.ask() for _ in range(population)]:
            choice = chosen(space, asked.choices)
            if choice not in known:
                known[choice] = best_of(choice, judge(choice), cost(choice), at_most_us)
            asking.tell(asked, known[choice].operating.accuracy, known[choice].cost_us)
    return sorted(known.values(), key=lambda found: (-found.operating.accuracy, found.cost_us))


def best_of(choice: Choice, judged: Judged, path_us: Sequence[float], at_most_us: float) -> Found:
    """Of 39 policies and every exit alone. The first exit alone is within any ceiling that the member was asked for."""
    exits = len(path_us)
    alone = [operate(judged.confidence, judged.correct, all_to(exit, exits)) for exit in range(exits)]
    operating = sweep([*swept(judged.confidence, judged.correct), *alone], path_us, at_most_us * (1 + 1e-9))
    return Found(choice, operating, mean_us(operating.rates, path_us))


def named(space: Searchable, choice: Choice) -> Choices:
    """Values by gene, as text."""
    return {name: str(values[index]) for index, (name, values) in zip(choice, space.genes.items(), strict=True)}


def chosen(space: Searchable, choices: Choices) -> Choice:
    """The inverse of `named`; genes that do nothing are 0."""
    indices = [values.index(int(choices[name])) for name, values in space.genes.items()]
    return space.canonical(tuple(indices))
