"""Architecture and thresholds together under a ceiling: evolution over members, a sweep over thresholds for each."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from adaptive_networks.core.exits import CeilingTooLow, Operating, all_to, mean_us, operate, sweep, swept
from adaptive_networks.core.images import Judged
from adaptive_networks.core.plugin import Choice, Space
from latency_tables.contract import OperationSpec
from lgcnet_search.evolution.population import Choices, Population


class Searchable(Space, Protocol):
    """A space of `Genes`, whose operations are known."""

    @property
    def genes(self) -> Mapping[str, tuple[int, ...]]: ...

    @property
    def smallest(self) -> Choice: ...

    @property
    def largest(self) -> Choice: ...

    def random(self, generator: random.Random) -> Choice: ...

    def canonical(self, choice: Choice) -> Choice: ...

    @property
    def operations(self) -> tuple[OperationSpec, ...]:
        """The rows of all members."""
        ...


PathCosts = Callable[[Choice], Sequence[float]]
"""Microseconds of the path to each exit of a member."""

DRAWS = 200
"""Random members that no change of single genes brings into the band, before the last one is taken."""


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
    floor: float = 0.0,
) -> list[Found]:
    """All members that were judged, best first: accuracy of held-out images with an expected latency in the ceiling.

    A member whose first path is too slow is refused before it is run, and one whose first path takes less than `floor`
    of the ceiling, or of what the largest member's takes where that is less; thresholds cost no further run. Raises
    CeilingTooLow where even the smallest member's first path is too slow.
    """
    fastest_us = cost(space.smallest)[0]
    if fastest_us > at_most_us:
        raise CeilingTooLow(
            f"ceiling: {at_most_us / 1000:.6g} ms is too low: the smallest member takes {fastest_us / 1000:.6g} ms "
            "to its first exit"
        )

    at_least_us = floor * min(at_most_us, cost(space.largest)[0])

    def draw(number: int) -> Choices:
        generator = random.Random(f"{seed} {number}")
        choice = space.smallest
        for _ in range(DRAWS):
            choice = space.random(generator)
            while cost(choice)[0] < at_least_us:
                choice = stepped(space, choice, 1, generator)
            while cost(choice)[0] > at_most_us:
                choice = stepped(space, choice, -1, generator)
            if cost(choice)[0] >= at_least_us:
                break
        return named(space, choice)

    asking = Population(
        {name: tuple(map(str, values)) for name, values in space.genes.items()},
        lambda choices: cost(chosen(space, choices))[0],
        draw,
        at_most_us,
        population,
        seed,
        at_least_us,
    )
    known: dict[Choice, Found] = {}
    for _ in range(generations):
        for asked in [asking.ask() for _ in range(population)]:
            choice = chosen(space, asked.choices)
            if choice not in known:
                known[choice] = best_of(choice, judge(choice), cost(choice), at_most_us)
            asking.tell(asked, known[choice].operating.accuracy, known[choice].cost_us)
    return sorted(known.values(), key=lambda found: (-found.operating.accuracy, found.cost_us))


def stepped(space: Searchable, choice: Choice, by: int, generator: random.Random) -> Choice:
    """The member with the index of a random gene larger or smaller by one."""
    counts = map(len, space.genes.values())
    free = [gene for gene, (index, count) in enumerate(zip(choice, counts, strict=True)) if 0 <= index + by < count]
    gene = generator.choice(free)
    return space.canonical((*choice[:gene], choice[gene] + by, *choice[gene + 1 :]))


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
