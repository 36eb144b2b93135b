"""Do two latencies rank alike? Kendall's τ-b, Spearman's ρ, and what τ means in words. Pure functions."""

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

ALIKE = 0.9
ROUGHLY_ALIKE = 0.7
MIN_OPERATIONS = 5


def kendall_tau(x: Sequence[float], y: Sequence[float], groups: Sequence[Hashable] | None = None) -> float | None:
    """Kendall's τ-b over all pairs, or over the pairs within a group only (one group per value).

    None where it is undefined: no pair, or in every pair x alike, or y alike.
    """
    members: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
    for a, b, group in zip(x, y, groups or [None] * len(x), strict=True):
        members[group].append((a, b))
    counts = [_count(pairs) for pairs in members.values()]
    score = sum(count.score for count in counts)
    x_untied, y_untied = sum(count.x_untied for count in counts), sum(count.y_untied for count in counts)
    return score / math.sqrt(x_untied * y_untied) if x_untied and y_untied else None


def spearman_rho(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Spearman's ρ: Pearson's correlation of the ranks, equal values sharing theirs. None where it is undefined."""
    ranks_x, ranks_y = _ranks(x), _ranks(y)
    middle = (len(ranks_x) + 1) / 2
    pairs = list(zip(ranks_x, ranks_y, strict=True))
    spread = math.sqrt(sum((a - middle) ** 2 for a in ranks_x) * sum((b - middle) ** 2 for b in ranks_y))
    if not spread:
        return None
    return max(-1.0, min(1.0, sum((a - middle) * (b - middle) for a, b in pairs) / spread))


def proxy_in_words(tau: float | None, operations: int, missing: int) -> str:
    """Whether this table would do in place of the reference; `tau` over the pairs that a search chooses between."""
    if tau is None or operations < MIN_OPERATIONS:
        return f"Unclear from {operations} shared operation{'s' * (operations != 1)}."
    alike = f"it decides about {(1 + tau) / 2:.0%} of the choices between two operations as the reference does"
    if tau >= ALIKE:
        answer = f"Yes: {alike}."
    elif tau >= ROUGHLY_ALIKE:
        answer = f"For a first choice only: {alike}. Measure the networks that are found on the device itself."
    else:
        answer = f"No: {alike}."
    return f"{answer} It lacks {missing} operation{'s' * (missing != 1)}." if missing else answer


class _Count(NamedTuple):
    """Of the pairs of a set of points: concordant less discordant ones, those untied in x, those untied in y."""

    score: int
    x_untied: int
    y_untied: int


def _count(points: Sequence[tuple[float, float]]) -> _Count:
    """Knight's method (1966): in the order of x, the discordant pairs are the inversions of y."""
    ordered = sorted(points)
    total = math.comb(len(ordered), 2)
    x_ties, y_ties, both_ties = (
        _ties(values) for values in ([a for a, _ in ordered], [b for _, b in ordered], ordered)
    )
    before: list[float] = []
    discordant = 0
    for _, value in ordered:
        discordant += len(before) - bisect_right(before, value)
        insort(before, value)
    concordant = total - x_ties - y_ties + both_ties - discordant
    return _Count(concordant - discordant, total - x_ties, total - y_ties)


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, from 1; equal values share the mean of their ranks."""
    ordered = sorted(values)
    return [(bisect_left(ordered, value) + bisect_right(ordered, value) + 1) / 2 for value in values]


def _ties(values: Sequence[object]) -> int:
    return sum(math.comb(count, 2) for count in Counter(values).values())
