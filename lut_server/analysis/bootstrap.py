"""The bootstrap of a median: how far it would scatter had the blocks been drawn again. Standard library only."""

import math
import random
from array import array
from collections.abc import Sequence
from functools import lru_cache

from latency_tables.statistics import Interval, quantile

RESAMPLES = 1000
POOL = 8192
Z95 = 1.959964
MIN_SAMPLES = 6
"""Fewer samples hold no 95 % interval of their median (2 × 0.5⁵ > 5 %)."""


@lru_cache(maxsize=4096)
def log_medians(samples: tuple[float, ...], seed: str) -> "array[float]":
    """Logarithms of the medians of 1000 resamples of positive samples, the same for the same seed.

    No resample is made in full: which two of the samples in order are its middle ones does not depend on their
    values, so it is drawn from a pool.
    """
    ordered = sorted(samples)
    drawn = random.Random(seed).choices(_middles(len(ordered)), k=RESAMPLES)
    return array("d", (math.log((ordered[low] + ordered[high]) / 2) for low, high in drawn))


def log_medians_within(median: float, bounds: Interval, seed: str) -> "array[float]":
    """The same where only the median and its 95 % interval are known: log-normal, as wide as that interval."""
    draw = random.Random(seed)
    sigma = (math.log(bounds.high) - math.log(bounds.low)) / (2 * Z95)
    return array("d", (draw.gauss(math.log(median), sigma) for _ in range(RESAMPLES)))


def interval(draws: Sequence[float], confidence: float = 0.95) -> Interval:
    """The middle of the draws (percentile method)."""
    ordered = sorted(draws)
    tail = (1 - confidence) / 2
    return Interval(quantile(ordered, tail), quantile(ordered, 1 - tail))


@lru_cache(maxsize=64)
def _middles(count: int) -> list[tuple[int, int]]:
    """Ranks (from 0) of the two middle values in resamples of `count` ordered values; equal ones for an odd count.

    The order statistics of n draws with replacement are at the ranks ⌊n U⌋, U being the order statistics of n
    uniform numbers; the k-th of those is Beta(k, n + 1 - k) distributed, the next one given u is the least of the
    n - k uniform numbers above u.
    """
    draw = random.Random(count)
    last = count - 1
    half = (count + 1) // 2
    pool = []
    for _ in range(POOL):
        u = draw.betavariate(half, count + 1 - half)
        above = u if count % 2 else 1 - (1 - u) * draw.random() ** (1 / half)
        pool.append((min(int(count * u), last), min(int(count * above), last)))
    return pool
