"""What block samples say: median, order-statistic interval, quantiles. Plain numbers, standard library only."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

MIN_SAMPLES_P90 = 64
MIN_SAMPLES_P99 = 662


class Interval(NamedTuple):
    """A closed interval in the unit of the samples."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile of samples in ascending order, linear between neighbours (Hyndman and Fan's type 7)."""
    position = (len(ordered) - 1) * q
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@lru_cache(maxsize=4096)
def median_interval_rank(count: int, confidence: float) -> int:
    """The rank r (from 0) such that [x_(r), x_(count-1-r)] holds the median with at least this confidence.

    The number of samples below the median is Binomial(count, 1/2) whatever the distribution, so the
    coverage is exact for independent samples. With too few samples for the confidence (under 6 for
    95 %) the widest interval, rank 0, is what there is.
    """
    tail_allowed = (1 - confidence) / 2
    tail = 0.0
    for rank in range(count // 2 + 1):
        tail += math.comb(count, rank) / 2**count
        if tail > tail_allowed:
            return max(rank - 1, 0)
    return max(count // 2 - 1, 0)


def median_interval(ordered: Sequence[float], confidence: float = 0.95) -> Interval:
    """The order-statistic interval of the median of samples in ascending order."""
    rank = median_interval_rank(len(ordered), confidence)
    return Interval(ordered[rank], ordered[len(ordered) - 1 - rank])
