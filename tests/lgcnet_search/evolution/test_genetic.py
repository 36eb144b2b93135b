"""Evolution finds a known best network, keeps under its ceiling, and goes on where it was stopped."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lgcnet_search.computing.checkpoint import CheckpointError, Checkpoints
from lgcnet_search.evolution.genetic import EvolutionSettings, Evolved, best_of, evolve, front_of
from lgcnet_search.search.ceiling import CeilingTooLow
from lgcnet_search.search.random_search import RandomSearch
from lgcnet_search.space.genotype import Genotype, random_genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from tests.support.tiny_spaces import make_table

TOY = Space(height=65, width=97, channels=1, classes=4, cells=3, reductions=(1, 2), fused=(0, 1, 2), aggregation="none")
LATENCIES = Latencies(make_table(TOY.operations))


def latency_us(genotype: Genotype) -> float:
    return LATENCIES.network_us(network_spec(genotype))


def with_slower(genotype: Genotype, edges: int) -> Genotype:
    """The same network with the slowest candidates on so many edges."""
    choices = dict(genotype.choices)
    changed = 0
    for edge in TOY.graph.edges:
        costs = {name: LATENCIES.operation_us(operation) for name, operation in edge.candidates.items()}
        slowest = max(costs, key=lambda name: costs[name])
        if changed < edges and costs[slowest] > costs[choices[edge.name]] + 50:
            choices[edge.name] = slowest
            changed += 1
    assert changed == edges
    return Genotype.of(TOY, choices)


BEST = random_genotype(TOY, 4)
SLOW = with_slower(BEST, 1)
CEILING_US = latency_us(BEST) * 1.0001


def accuracy(genotype: Genotype) -> float:
    """One candidate is right on each edge. On one edge there is a better one, worth 0.3 more, that is too slow.

    Giving up another edge for it, worth 1, does not pay: BEST is the best network under the ceiling, SLOW of all.
    """
    points = 0.0
    for edge, name in genotype.choices.items():
        if BEST.choices[edge] == SLOW.choices[edge]:
            points += name == BEST.choices[edge]
        else:
            points += {BEST.choices[edge]: 1.0, SLOW.choices[edge]: 1.3}.get(name, 0.0)
    return points / (len(TOY.graph.edges) + 0.3)


def judged(genotypes: Sequence[Genotype]) -> list[float]:
    return [accuracy(genotype) for genotype in genotypes]


def test_the_best_network_under_a_ceiling_is_found() -> None:
    settings = EvolutionSettings(generations=40, population=40, ceiling_us=CEILING_US)
    evolved = evolve(TOY, LATENCIES, judged, settings)
    assert len(evolved) == 40 * 40
    assert all(one.predicted_us <= CEILING_US for one in evolved)
    assert all(one.predicted_us == pytest.approx(latency_us(one.genotype)) for one in evolved[::97])
    assert best_of(evolved).genotype == BEST
    first = max(one.miou for one in evolved if one.generation == 0)
    assert best_of(evolved).miou > 2 * first, "random networks are far from it"


def test_without_a_ceiling_a_front_is_left() -> None:
    evolved = evolve(TOY, LATENCIES, judged, EvolutionSettings(generations=12, population=16, seed=1))
    front = front_of(evolved)
    assert len(front) > 1
    assert front == sorted(front, key=lambda one: (one.predicted_us, one.miou))
    assert front[-1] == best_of(evolved)
    assert max(one.predicted_us for one in evolved) > CEILING_US


def test_an_evolution_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    settings = EvolutionSettings(generations=4, population=6, ceiling_us=1.2 * CEILING_US, seed=3)
    straight = evolve(TOY, LATENCIES, judged, settings)
    checkpoints = Checkpoints(tmp_path / "evolution.pt", 1, "toy")
    calls: list[Genotype] = []

    class Stopped(Exception):
        pass

    def stopping(genotypes: Sequence[Genotype]) -> list[float]:
        if len(calls) >= 12:
            raise Stopped
        calls.extend(genotypes)
        return judged(genotypes)

    with pytest.raises(Stopped):
        evolve(TOY, LATENCIES, stopping, settings, checkpoints=checkpoints)
    before = len(calls)

    def going_on(genotypes: Sequence[Genotype]) -> list[float]:
        calls.extend(genotypes)
        return judged(genotypes)

    assert evolve(TOY, LATENCIES, going_on, settings, checkpoints=checkpoints) == straight
    assert before < len(calls) == len({genotype.to_json() for genotype in calls}), "nothing is judged twice"
    more = EvolutionSettings(generations=5, population=6, ceiling_us=1.2 * CEILING_US, seed=3)
    assert evolve(TOY, LATENCIES, judged, more, checkpoints=checkpoints)[:24] == straight
    other = EvolutionSettings(generations=4, population=6, ceiling_us=1.2 * CEILING_US, seed=4)
    with pytest.raises(CheckpointError, match=r"evolution\.seed: 3 there, 4 now"):
        evolve(TOY, LATENCIES, judged, other, checkpoints=checkpoints)


def test_a_ceiling_that_no_network_keeps_is_said_before_anything_is_judged() -> None:
    def never(_: Sequence[Genotype]) -> list[float]:
        raise AssertionError("a network was judged")

    with pytest.raises(CeilingTooLow, match="is too low"):
        evolve(TOY, LATENCIES, never, EvolutionSettings(ceiling_us=0.9 * RandomSearch(TOY, LATENCIES).fastest_us))
    for settings in ({"generations": 0}, {"population": 1}, {"quantile": 1.0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            EvolutionSettings(**settings)


def test_fronts_leave_out_what_another_beats() -> None:
    points = [(0.2, 3.0), (0.3, 2.0), (0.3, 2.5), (0.4, 5.0), (0.1, 1.0)]
    networks = [Evolved(0, BEST, miou, us) for miou, us in points]
    assert [(one.miou, one.predicted_us) for one in front_of(networks)] == [(0.1, 1.0), (0.3, 2.0), (0.4, 5.0)]
