"""Kendall's τ-b: how far two orders agree. Standard library only."""

import math
from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple


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


def _ties(values: Sequence[object]) -> int:
    return sum(math.comb(count, 2) for count in Counter(values).values())
