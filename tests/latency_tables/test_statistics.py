import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.contract import Latency
from latency_tables.statistics import median_interval, median_interval_rank, quantile

samples = st.lists(st.floats(0.1, 1e6), min_size=2, max_size=50)


@given(samples)
def test_quantiles_are_those_of_the_standard_library(values: list[float]) -> None:
    ordered = sorted(values)
    expected = statistics.quantiles(ordered, n=4, method="inclusive")
    assert [quantile(ordered, q) for q in (0.25, 0.5, 0.75)] == pytest.approx(expected)


@pytest.mark.parametrize("count", [6, 7, 12, 13, 50, 101, 700])
def test_the_interval_is_the_narrowest_that_covers_the_median_at_95_percent(count: int) -> None:
    """Coverage of [x_(r), x_(n-1-r)] by the binomial distribution."""
    rank = median_interval_rank(count, 0.95)

    def coverage(r: int) -> float:
        below: int = sum(math.comb(count, k) for k in range(r + 1))
        return 1 - 2 * below / math.ldexp(1, count)

    assert coverage(rank) >= 0.95
    assert coverage(rank + 1) < 0.95


def test_the_interval_covers_the_median_of_skewed_samples() -> None:
    draw = random.Random(1)
    covered = 0
    for _ in range(2000):
        low, high = median_interval(sorted(draw.expovariate(1) for _ in range(20)))
        covered += low <= math.log(2) <= high
    assert covered / 2000 >= 0.945


@given(samples)
def test_a_latency_is_in_order(values: list[float]) -> None:
    latency = Latency.of(values)
    assert latency.min_us <= latency.q1_us <= latency.median_us <= latency.q3_us
    assert latency.low_us <= latency.median_us <= latency.high_us
    assert (latency.p90_us, latency.p99_us) == (None, None)


def test_high_quantiles_need_enough_samples() -> None:
    assert Latency.of(range(1, 65)).p90_us is not None
    assert Latency.of(range(1, 65)).p99_us is None
    assert Latency.of(range(1, 663)).p99_us is not None
