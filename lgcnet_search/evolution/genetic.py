"""Evolution of networks under a latency ceiling: NSGA-II by accuracy and predicted latency (Deb et al. 2002)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.processes import Processes
from lgcnet_search.evolution.population import Population
from lgcnet_search.search.ceiling import Ceiling
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space

ENOUGH = 0.9
"""Being faster than this share of the ceiling earns nothing: there the evaluations would be spent for nobody."""

Evaluate = Callable[[Sequence[Genotype]], Sequence[float]]
"""The mIoU (from 0 to 1) of each of several networks, which may be evaluated at a time."""


@dataclass(frozen=True)
class EvolutionSettings:
    """How long and how wide; under which ceiling. Raises ValueError naming field and value."""

    generations: int = 15
    population: int = 16
    """Networks in a generation."""
    ceiling_us: float | None = None
    """What the network may take at most, in microseconds."""
    quantile: float = 0.5
    """With which probability: 0.95 keeps the upper end of the prediction's 90 % interval under the ceiling."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("generations", 1), ("population", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)} is not at least {least}")
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile: {self.quantile} is not a probability between 0 and 1")


@dataclass(frozen=True)
class Evolved:
    """A network that was evaluated: its generation, its mIoU with inherited weights, its predicted latency."""

    generation: int
    genotype: Genotype
    miou: float
    predicted_us: float


def evolve(
    space: Space,
    latencies: Latencies,
    evaluate: Evaluate,
    settings: EvolutionSettings,
    *,
    checkpoints: Checkpoints | None = None,
    origin: Mapping[str, Any] | None = None,
    processes: Processes | None = None,
) -> list[Evolved]:
    """All networks that were evaluated, in order; every one is predicted to stay under the ceiling.

    The first generation is random. The next ones are children of the best by accuracy and latency (uniform crossover,
    one edge in the mean drawn anew); a child over the ceiling costs nothing and is drawn again. A network that comes
    again is not evaluated again. What was evaluated is kept after every generation; `origin` is what it follows from.

    Raises CeilingTooLow, MissingRows, CheckpointError, ValueError for a quantile without a calibration, and what
    `evaluate` raises.
    """
    processes = processes or Processes()
    drawing = RandomSearch(space, latencies)
    ceiling = (
        None
        if settings.ceiling_us is None
        else Ceiling.reachable(space, latencies, settings.ceiling_us, settings.quantile)
    )
    at_most_us = float("inf") if ceiling is None else ceiling.predicted_us
    enough_us = ENOUGH * at_most_us
    made_from = {
        **(origin or {}),
        "latencies": latencies.digest,
        "definition": space_digest(),
        **{f"space.{name}": value for name, value in asdict(space).items()},
        **{f"evolution.{name}": value for name, value in asdict(settings).items() if name != "generations"},
    }
    state = checkpoints.load(made_from, processes) if checkpoints else None
    known: dict[str, float] = dict(state["miou"]) if state else {}
    population = Population(
        {edge.name: edge.names for edge in space.graph.edges},
        lambda choices: latencies.network_us(network_spec(Genotype.of(space, choices))),
        lambda number: drawing.draw(_seed_of(settings.seed, number), at_most_us).choices,
        at_most_us,
        settings.population,
        settings.seed,
    )
    evolved: list[Evolved] = []
    for generation in range(settings.generations):
        asked_for = [population.ask() for _ in range(settings.population)]
        trials = [(asked, Genotype.of(space, asked.choices)) for asked in asked_for]
        genotypes = {genotype.to_json(): genotype for _, genotype in trials}
        new = {text: genotype for text, genotype in genotypes.items() if text not in known}
        if new:
            known.update(zip(new, evaluate(list(new.values())), strict=True))
            if checkpoints and processes.first:
                checkpoints.save(made_from, {"miou": known})
        for asked, genotype in trials:
            miou = known[genotype.to_json()]
            population.tell(asked, miou, asked.cost_us if ceiling is None else max(asked.cost_us, enough_us))
            evolved.append(Evolved(generation, genotype, miou, asked.cost_us))
    return evolved


def best_of(evolved: Sequence[Evolved]) -> Evolved:
    """The most accurate; of several, the fastest."""
    return max(evolved, key=lambda network: (network.miou, -network.predicted_us))


def front_of(evolved: Sequence[Evolved]) -> list[Evolved]:
    """Those than which no other is both as fast and more accurate, fastest first."""
    front: list[Evolved] = []
    for network in sorted(evolved, key=lambda network: (network.predicted_us, -network.miou)):
        if not front or network.miou > front[-1].miou:
            front.append(network)
    return front


def _seed_of(seed: int, number: int) -> int:
    """A seed of its own for every network that is drawn."""
    return 1_000_003 * (seed + 1) + number
