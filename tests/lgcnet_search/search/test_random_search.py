"""Random networks: within their ceiling, and evenly drawn from all that are."""

from collections import Counter
from dataclasses import replace
from statistics import median

import pytest

from latency_tables.contract import MissingRows
from lgcnet_search.search.random_search import RandomSearch, TooFast
from lgcnet_search.space.genotype import random_genotype
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
    uniform = [random_genotype(TINY, seed) for seed in range(4000)]
    spent = [Latencies(TABLE).network_us(network_spec(genotype)) for genotype in uniform]
    ceiling_us = sorted(spent)[400]
    kept = [genotype for genotype, us in zip(uniform, spent, strict=True) if us <= ceiling_us]
    drawing = RandomSearch(TINY, Latencies(TABLE))
    drawn = [drawing.draw(seed, ceiling_us) for seed in range(400)]

    def shares(genotypes: list) -> dict[str, float]:  # type: ignore[type-arg]
        taken = Counter(name for genotype in genotypes for cell in genotype.cells for name in cell)
        return {name: count / (70 * len(genotypes)) for name, count in taken.items()}

    wanted, found = shares(kept), shares(drawn)
    for name, share in wanted.items():
        assert found[name] == pytest.approx(share, abs=0.012), name
    mean_us = sum(Latencies(TABLE).network_us(network_spec(genotype)) for genotype in drawn) / len(drawn)
    assert mean_us == pytest.approx(sum(us for us in spent if us <= ceiling_us) / len(kept), rel=0.005)


def test_what_cannot_be_had_is_said() -> None:
    drawing = RandomSearch(TINY, Latencies(TABLE))
    with pytest.raises(TooFast, match=r"the fastest of this space take \d"):
        drawing.draw(0, 0.99 * drawing.fastest_us)
    with pytest.raises(MissingRows):
        RandomSearch(TINY, Latencies(make_table(TINY.operations[1:])))
