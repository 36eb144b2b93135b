"""Random networks: within their ceiling, and evenly drawn from all that are."""

from collections import Counter
from dataclasses import replace
from statistics import median

import pytest

from latency_tables.contract import MissingRows
from lgcnet_search.search.random_search import RandomSearch, TooFast
from lgcnet_search.space.genotype import Genotype, random_genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Aggregation
from tests.support.tiny_spaces import TINY, make_table

TABLE = make_table(TINY.operations)


@pytest.mark.parametrize("aggregation", ["dense", "ppm"])
def test_networks_are_within_the_ceiling_however_low(aggregation: Aggregation) -> None:
    space = replace(TINY, aggregation=aggregation)
    table = make_table(space.operations)
    drawing = RandomSearch(space, Latencies(table))
    free = [Latencies(table).network_us(network_spec(drawing.draw(seed))) for seed in range(5)]
    fastest_us = drawing.fastest_us
    assert fastest_us < min(free)
    assert Latencies(table).network_us(network_spec(drawing.draw(0, fastest_us * 1.000001))) == pytest.approx(
        fastest_us
    )
    for share in (0.02, 0.3, 0.8):
        ceiling_us = fastest_us + share * (min(free) - fastest_us)
        spent = [Latencies(table).network_us(network_spec(drawing.draw(seed, ceiling_us))) for seed in range(10)]
        assert max(spent) <= ceiling_us
        assert min(spent) >= fastest_us
        assert median(spent) > fastest_us + 0.5 * (ceiling_us - fastest_us), "most fast networks are hardly within"


def test_a_seed_draws_the_same_network_again() -> None:
    drawing = RandomSearch(TINY, Latencies(TABLE))
    assert drawing.draw(3) == drawing.draw(3) != drawing.draw(4)
    assert drawing.draw(3, 1e5) == drawing.draw(3, 1e5)


def test_draws_are_even_among_the_networks_within_the_ceiling() -> None:
    """Against what is left of uniform draws: how often each candidate is taken, for a ceiling that a tenth meets."""
    latencies = Latencies(TABLE)

    def network_us(genotype: Genotype) -> float:
        steps = TINY.graph.derive(genotype.choices)
        return sum(latencies.operation_us(step.operation) for step in steps)

    def shares(genotypes: list[Genotype]) -> dict[str, float]:
        taken = Counter(name for genotype in genotypes for cell in genotype.cells for name in cell)
        return {name: count / (70 * len(genotypes)) for name, count in taken.items()}

    uniform = sorted((random_genotype(TINY, seed) for seed in range(4000)), key=network_us)
    fast, ceiling_us = uniform[:401], network_us(uniform[400])
    drawing = RandomSearch(TINY, latencies)
    drawn = [drawing.draw(seed, ceiling_us) for seed in range(400)]
    expected, taken = shares(fast), shares(drawn)
    for name, share in expected.items():
        assert taken[name] == pytest.approx(share, abs=0.012), name
    mean_us = sum(map(network_us, drawn)) / len(drawn)
    assert mean_us == pytest.approx(sum(map(network_us, fast)) / len(fast), rel=0.005)


def test_what_cannot_be_had_is_said() -> None:
    drawing = RandomSearch(TINY, Latencies(TABLE))
    with pytest.raises(TooFast, match=r"the fastest of this space take \d"):
        drawing.draw(0, 0.99 * drawing.fastest_us)
    with pytest.raises(MissingRows):
        RandomSearch(TINY, Latencies(make_table(TINY.operations[1:])))
