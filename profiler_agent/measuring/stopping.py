"""When are there enough blocks? Plain functions of plain numbers; nothing here knows what was timed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from latency_tables.statistics import median_interval, quantile

# Looking after every block stops at lucky moments: the stated 95 % interval then covers a two-mode median
# only 90 % of the time. Few looks and a stricter interval for the decision keep it above 93 %
# (tests/profiler_agent/measuring/test_stopping.py).
LOOK_GROWTH = 1.5
DECISION_CONFIDENCE = 0.98

NOISY_SHARE = 0.1  # a median shrugs off this much contamination


@dataclass(frozen=True)
class StoppingRule:
    """When a workload leaves the rounds: converged to `target_rel`, or at `max_blocks`.

    A budget leaves each at least `min_blocks`. Whether it converged is not asked before `first_look` blocks: what was
    seen of the machine within a few seconds is not yet its state. At most `max_rejected` blocks are thrown away.
    """

    target_rel: float
    min_blocks: int
    max_blocks: int
    max_rejected: int
    first_look: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.min_blocks <= self.max_blocks:
            raise ValueError(f"min_blocks={self.min_blocks} must be between 1 and max_blocks={self.max_blocks}")


def is_converged(samples: Sequence[float], target_rel: float) -> bool:
    """Whether the order-statistic interval of the median is at most ± `target_rel` of it wide."""
    ordered = sorted(samples)
    interval = median_interval(ordered, DECISION_CONFIDENCE)
    return interval.half_width <= target_rel * quantile(ordered, 0.5)


def next_look(count: int) -> int:
    """The number of blocks at which to ask again, having asked at `count`."""
    return max(count + 1, math.ceil(count * LOOK_GROWTH))


def leaves_band(value: float, earlier: Sequence[float], band_rel: float) -> bool:
    """Whether a reference left ± `band_rel` of the median of its earlier values (fewer than 3 make no band)."""
    if len(earlier) < 3:
        return False
    middle = quantile(sorted(earlier), 0.5)
    return abs(value - middle) > band_rel * middle


def is_noisy(doubtful: int, count: int) -> bool:
    """Whether so many of `count` kept blocks are doubtful that their median is."""
    return doubtful > NOISY_SHARE * count
