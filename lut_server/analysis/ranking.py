"""Do two latencies rank alike? Spearman's ρ, and what Kendall's τ means in words. Pure functions."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

ALIKE = 0.9
ROUGHLY_ALIKE = 0.7
MIN_OPERATIONS = 5


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


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, from 1; equal values share the mean of their ranks."""
    ordered = sorted(values)
    return [(bisect_left(ordered, value) + bisect_right(ordered, value) + 1) / 2 for value in values]
