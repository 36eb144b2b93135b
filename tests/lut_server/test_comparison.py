import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lut_server.comparison import geometric_mean_ratio, kendall_tau

pairs = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=30)


def tau_by_counting(x: list[float], y: list[float]) -> float | None:
    """Kendall's τ-b by its definition, over all pairs."""
    signs = [((a > c) - (a < c), (b > d) - (b < d)) for (a, b), (c, d) in combinations(zip(x, y, strict=True), 2)]
    x_untied, y_untied = sum(s != 0 for s, _ in signs), sum(s != 0 for _, s in signs)
    if not x_untied or not y_untied:
        return None
    return sum(s * t for s, t in signs) / math.sqrt(x_untied * y_untied)


@given(pairs)
def test_tau_is_that_of_the_definition(values: list[tuple[int, int]]) -> None:
    x, y = [float(a) for a, _ in values], [float(b) for _, b in values]
    expected = tau_by_counting(x, y)
    assert kendall_tau(x, y) == (None if expected is None else pytest.approx(expected))


def test_tau_of_an_order_and_its_reverse() -> None:
    x = [1.0, 2.0, 3.0, 4.0]
    assert kendall_tau(x, x) == 1
    assert kendall_tau(x, x[::-1]) == -1
    assert kendall_tau([1.0], [2.0]) is None


@given(st.lists(st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)), min_size=1))
def test_a_ratio_and_its_inverse_cancel(values: list[tuple[float, float]]) -> None:
    x, y = [a for a, _ in values], [b for _, b in values]
    assert geometric_mean_ratio(x, y) * geometric_mean_ratio(y, x) == pytest.approx(1)
    assert geometric_mean_ratio([3 * value for value in y], y) == pytest.approx(3)
