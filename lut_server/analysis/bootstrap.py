"""The bootstrap of a median: how far it would scatter had the blocks been drawn again."""

import math
import random
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from latency_tables.statistics import Interval

Draws = npt.NDArray[np.float64]

RESAMPLES = 1000
POOL = 8192
Z95 = 1.959964
MIN_SAMPLES = 6
"""Fewer samples hold no 95 % interval of their median (2 × 0.5⁵ > 5 %)."""


@lru_cache(maxsize=4096)
def log_medians(samples: tuple[float, ...], seed: str) -> Draws:
    """Logarithms of the medians of 1000 resamples of positive samples, the same for the same seed.

    No resample is made in full: which two of the samples in order are its middle ones does not depend on their
    values, so it is drawn from a pool.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    middles = _middles(len(ordered))[_generator(seed).integers(POOL, size=RESAMPLES)]
    return np.log(ordered[middles].mean(axis=1))  # type: ignore[no-any-return]


def log_medians_within(median: float, bounds: Interval, seed: str) -> Draws:
    """The same where only the median and its 95 % interval are known: log-normal, as wide as that interval."""
    sigma = (math.log(bounds.high) - math.log(bounds.low)) / (2 * Z95)
    return _generator(seed).normal(math.log(median), sigma, RESAMPLES)


def intervals(draws: Draws, confidence: float = 0.95) -> list[Interval]:
    """The middle of the draws in each row (percentile method)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=-1)
    return [Interval(float(a), float(b)) for a, b in zip(np.atleast_1d(low), np.atleast_1d(high), strict=True)]


def interval(draws: Sequence[float] | Draws, confidence: float = 0.95) -> Interval:
    """The middle of the draws (percentile method)."""
    return intervals(np.asarray(draws, dtype=np.float64)[np.newaxis], confidence)[0]


def _generator(seed: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(seed.encode())))


@lru_cache(maxsize=64)
def _middles(count: int) -> npt.NDArray[np.intp]:
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
    return np.array(pool, dtype=np.intp)
