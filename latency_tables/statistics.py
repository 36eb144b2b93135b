"""What block samples say: median, order-statistic interval, quantiles. Plain numbers, standard library only."""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
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


def student_quantile(q: float, degrees: float) -> float:
    """The q-quantile of Student's t with at least 3 degrees of freedom, within 1 % for q from 0.005 to 0.995.

    The normal's, corrected by the first four terms of its expansion (Abramowitz and Stegun, 26.7.5).
    """
    z = NormalDist().inv_cdf(q)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, start=1))
