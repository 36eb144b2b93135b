import math
import random
from bisect import bisect
from dataclasses import replace
from datetime import datetime, timezone
from itertools import combinations
from uuid import UUID

import pytest
import uuid6
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.contract import (
    Comparison,
    DeviceReport,
    Environment,
    Latency,
    LatencyTable,
    OperationSpec,
    Quality,
    Runtime,
    TableRow,
    TableSummary,
)
from latency_tables.kendall import kendall_tau
from latency_tables.statistics import Interval
from lut_server.analysis.bootstrap import interval, log_medians, log_medians_within
from lut_server.analysis.comparison import Side, compare, geometric_mean_ratio, verdict
from lut_server.analysis.likeness import Conditions, differences
from lut_server.analysis.ranking import proxy_in_words
from tests.support.factories import CPU, SOUND, SPACE_DIGEST, operation, report

pairs = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=30)
Samples = dict[OperationSpec, tuple[float, ...]]


def tau_by_counting(x: list[float], y: list[float]) -> float | None:
    """Kendall's τ-b by its definition, over all pairs."""
    signs = [((a > c) - (a < c), (b > d) - (b < d)) for (a, b), (c, d) in combinations(zip(x, y, strict=True), 2)]
    x_untied, y_untied = sum(s != 0 for s, _ in signs), sum(s != 0 for _, s in signs)
    if not x_untied or not y_untied:
        return None
    return sum(s * t for s, t in signs) / math.sqrt(x_untied * y_untied)


def blocks(median_us: float, spread: float = 0.003, count: int = 40, seed: int = 0) -> tuple[float, ...]:
    draw = random.Random(seed)
    return tuple(median_us * draw.lognormvariate(0, spread) for _ in range(count))


def side(samples: Samples, by: DeviceReport | None = None, quality: Quality = SOUND, keep: bool = True) -> Side:
    """A table of these samples, as a server has it that keeps the samples or knows the statistics only."""
    by = by or report()
    rows = tuple(
        TableRow(operation=spec, latency=Latency.of(values), quality=quality, measurement_id=uuid6.uuid7())
        for spec, values in samples.items()
    )
    table = LatencyTable(
        id=uuid6.uuid7(),
        created_at=datetime(2025, 1, 1, tzinfo=timezone.utc),
        device=by.device,
        environment=by.environment,
        runtime=CPU,
        method_version="blocks-1",
        space="small",
        space_digest=SPACE_DIGEST,
        rows=rows,
    )
    return Side(_summary(table), table, _by_measurement(rows, samples) if keep else {})


def _by_measurement(rows: tuple[TableRow, ...], samples: Samples) -> dict[UUID, tuple[float, ...]]:
    return {row.measurement_id: samples[row.operation] for row in rows}


def _summary(table: LatencyTable) -> TableSummary:
    return TableSummary(
        id=table.id,
        content_digest=table.digest,
        created_at=table.created_at,
        device=table.device.uuid,
        device_name=table.device.name,
        environment=table.environment.digest,
        runtime=table.runtime,
        method_version=table.method_version,
        space=table.space,
        space_digest=table.space_digest,
        rows=len(table.rows),
    )


def of(factor: float, count: int = 12, seed: int = 0, spread: float = 0.003) -> Samples:
    return {operation(8 * (n + 1)): blocks(factor * (50 + 20 * n), spread, seed=seed + n) for n in range(count)}


def verdicts(comparison: Comparison) -> list[str]:
    return [item.ratios[1].verdict for item in comparison.operations]


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.2, "slower"), (0.8, "faster"), (1.005, "same"), (1.02, "ambiguous")]
)
def test_a_known_difference_is_found_with_its_size(factor: float, expected: str) -> None:
    comparison = compare([side(of(1)), side(of(factor, seed=100))])
    assert comparison.tables[1].overall.verdict == expected
    assert comparison.tables[1].overall.value == pytest.approx(factor, rel=0.002)
    assert verdicts(comparison).count(expected) >= 11
    for item in comparison.operations:
        assert item.ratios[0].value == 1
        assert item.ratios[1].low <= item.ratios[1].value <= item.ratios[1].high


def test_noise_alone_never_makes_one_faster() -> None:
    for seed in range(20):
        noisy = compare([side(of(1, seed=seed, spread=0.05)), side(of(1, seed=seed + 1000, spread=0.05))])
        assert set(verdicts(noisy)) <= {"same", "ambiguous"}


def test_the_interval_of_a_ratio_covers_the_truth() -> None:
    draw = random.Random(3)
    covered = 0
    for n in range(400):
        x, y = ([draw.lognormvariate(0, 0.1) for _ in range(25)] for _ in range(2))
        low, high = interval(
            [a - b for a, b in zip(log_medians(tuple(x), f"x{n}"), log_medians(tuple(y), f"y{n}"), strict=True)]
        )
        covered += low <= 0 <= high
    assert covered / 400 >= 0.93


@pytest.mark.parametrize("count", [1, 2, 7, 12, 40])
def test_drawing_ranks_is_drawing_blocks(count: int) -> None:
    """The short cut has the distribution of medians of resamples made in full."""
    values = sorted(blocks(100, 0.1, count))
    draw = random.Random(1)
    full = sorted(quantile_50(draw.choices(values, k=count)) for _ in range(4000))
    quick = sorted(math.exp(value) for n in range(4) for value in log_medians(tuple(values), str(n)))
    # Kolmogorov and Smirnov: 4000 draws of one distribution are that far apart once in a thousand times.
    distance = max(abs(bisect(quick, value * 1.0000001) - bisect(full, value * 1.0000001)) for value in full) / 4000
    assert distance < 0.045


def quantile_50(values: list[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def test_the_same_question_has_the_same_answer() -> None:
    sides = [side(of(1)), side(of(1.03, seed=50))]
    assert compare(sides) == compare(sides)


def test_rows_that_share_a_measurement_differ_by_nothing() -> None:
    one = side(of(1, spread=0.2))
    comparison = compare([one, one])
    assert set(verdicts(comparison)) == {"same"}
    overall = comparison.tables[1].overall
    assert (overall.value, overall.low, overall.high, overall.verdict) == (1, 1, 1, "same")


@pytest.mark.parametrize(
    "other",
    [
        side(of(2, seed=9), quality=Quality(converged=True, throttled=True)),
        side({**of(1), **{spec: values[:5] for spec, values in of(2).items()}}),
    ],
)
def test_throttled_or_hardly_measured_rows_get_no_verdict(other: Side) -> None:
    comparison = compare([side(of(1)), other])
    assert set(verdicts(comparison)) == {"ambiguous"}
    assert comparison.tables[1].overall.verdict == "ambiguous"
    assert comparison.tables[1].overall.value == pytest.approx(2, rel=0.02), "the ratio is shown all the same"


def test_a_table_without_its_samples_is_judged_by_its_intervals() -> None:
    comparison = compare([side(of(1), keep=False), side(of(1.5, seed=40), keep=False)])
    kept = compare([side(of(1)), side(of(1.5, seed=40))])
    assert set(verdicts(comparison)) == {"slower"}
    for ours, theirs in zip(comparison.operations, kept.operations, strict=True):
        assert ours.ratios[1].value == theirs.ratios[1].value
        assert ours.ratios[1].high / ours.ratios[1].low == pytest.approx(
            theirs.ratios[1].high / theirs.ratios[1].low, rel=0.01
        )
    low, high = interval(log_medians_within(100, Interval(90, 110), "seed"))
    assert math.exp(high - low) == pytest.approx(110 / 90, rel=0.05)


def test_only_shared_operations_count_and_missing_ones_are_listed() -> None:
    first, second = of(1), of(1, seed=60)
    gone, *_, last = first
    del second[gone]
    second[operation(1000)] = blocks(1e6)
    comparison = compare([side(first), side(second), side({gone: first[gone], last: first[last]})])
    assert [item.operation for item in comparison.operations] == [last]
    assert comparison.tables[0].missing == (operation(1000),)
    assert comparison.tables[1].missing == (gone,)
    assert comparison.tables[2].overall.value == 1


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((0.99, 1.01), "same"),
        ((1.021, 1.03), "slower"),
        ((0.97, 0.979), "faster"),
        ((1.01, 1.03), "ambiguous"),
        ((0.9, 1.1), "ambiguous"),
        ((0.97, 0.99), "ambiguous"),
    ],
)
def test_a_verdict_needs_the_whole_interval(bounds: tuple[float, float], expected: str) -> None:
    assert verdict(Interval(*bounds), 0.02) == expected


@given(st.floats(0.5, 2), st.floats(0, 0.5), st.floats(0.001, 0.5))
def test_turning_a_comparison_round_turns_its_verdict_round(low: float, width: float, margin_rel: float) -> None:
    turned = {"faster": "slower", "slower": "faster", "same": "same", "ambiguous": "ambiguous"}
    high = low + width
    assert verdict(Interval(1 / high, 1 / low), margin_rel) in (
        turned[verdict(Interval(low, high), margin_rel)],
        "ambiguous",  # on the very edge, where 1 / (1 / x) need not be x
    )


def _conditions(**changed: object) -> Conditions:
    environment = Environment(os="Linux", python="3.11", torch="2.13.0", cuda="12.6", driver="550")
    return Conditions("gpu-1", environment, "blocks-1", CPU)._replace(**changed)  # type: ignore[arg-type]


def test_what_makes_tables_unlike_is_named() -> None:
    def environment(**changed: object) -> Environment:
        return _conditions().environment.model_copy(update=changed)

    first = _conditions()
    assert differences([first, _conditions()]) == []
    assert differences([first, _conditions(method_version="blocks-2")]) == ["method: blocks-1 against blocks-2"]
    assert differences([first, _conditions(runtime=Runtime(batch_size=4, threads=1))]) == ["batch size: 1 against 4"]
    assert differences([first, _conditions(device="cpu-2", runtime=Runtime(threads=4))]) == ["threads: 1 against 4"]
    assert differences([first, _conditions(device="gpu-1", runtime=Runtime(threads=None))]) == []
    assert differences([first, _conditions(environment=environment(torch="2.14.0"))]) == [
        "torch: 2.13.0 against 2.14.0"
    ]
    assert differences([first, _conditions(environment=environment(driver="560"))]) == ["driver: 550 against 560"]
    elsewhere = environment(driver="560", os="Windows", cuda=None)
    assert differences([first, _conditions(device="cpu-1", environment=elsewhere)]) == []
    assert differences([first, _conditions(device="gpu-2", environment=environment(cuda="13.0"))]) == [
        "cuda: 12.6 against 13.0"
    ]


def test_libraries_of_modes_make_tables_unlike_where_both_have_them() -> None:
    def with_library(device: str, version: str | None) -> Conditions:
        libraries = (("openvino", version),) if version else None
        environment = _conditions().environment.model_copy(update={"libraries": libraries})
        return _conditions(device=device, environment=environment)

    first = with_library("gpu-1", "2026.4")
    assert differences([first, with_library("gpu-2", "2026.4")]) == []
    assert differences([first, with_library("gpu-2", "2025.1")]) == ["openvino: 2026.4 against 2025.1"]
    assert differences([first, with_library("gpu-2", None)]) == []
    assert differences([first, with_library("gpu-1", None)]) == ["openvino: 2026.4 against none"]


def test_one_thread_against_four_is_unlike_and_fp16_is_not() -> None:
    one = side(of(1))

    def unlike(runtime: Runtime) -> tuple[str, ...]:
        other = replace(one, table=one.table.model_copy(update={"runtime": runtime}))
        return compare([one, other], allow_unlike=True).unlike

    assert unlike(Runtime(threads=4)) == ("threads: 1 against 4",)
    assert unlike(Runtime(threads=1, precision="fp16", mode="onnxruntime")) == ()


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


def test_tau_within_groups_is_not_flattered_by_sizes() -> None:
    """Two devices that agree on what is large and disagree on every choice between equals."""
    x = [1.0, 2.0, 101.0, 102.0, 1001.0, 1002.0]
    y = [2.0, 1.0, 102.0, 101.0, 1002.0, 1001.0]
    overall = kendall_tau(x, y)
    assert overall is not None
    assert overall > 0.5
    assert kendall_tau(x, y, [0, 0, 1, 1, 2, 2]) == -1
    assert kendall_tau(x, y, list(range(6))) is None


def test_whether_a_table_would_do_as_a_proxy_is_said_in_words() -> None:
    assert proxy_in_words(0.96, 95, 0) == (
        "Yes: it decides about 98% of the choices between two operations as the reference does."
    )
    assert proxy_in_words(0.8, 95, 2).startswith("For a first choice only")
    assert proxy_in_words(0.8, 95, 2).endswith("It lacks 2 operations.")
    assert proxy_in_words(0.2, 95, 0).startswith("No")
    assert proxy_in_words(1.0, 3, 0) == "Unclear from 3 shared operations."
    assert proxy_in_words(None, 95, 0).startswith("Unclear")


@given(st.lists(st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)), min_size=1))
def test_a_ratio_and_its_inverse_cancel(values: list[tuple[float, float]]) -> None:
    x, y = [a for a, _ in values], [b for _, b in values]
    assert geometric_mean_ratio(x, y) * geometric_mean_ratio(y, x) == pytest.approx(1)
    assert geometric_mean_ratio([3 * value for value in y], y) == pytest.approx(3)


def test_rows_that_are_one_measurement_are_counted() -> None:
    first, second = side(of(1)), side(of(1.2, seed=100))
    rows = (*first.table.rows[:5], *second.table.rows[5:])
    extended = Side(second.summary, second.table.model_copy(update={"rows": rows}), second.samples_us)
    assert [item.one_measurement for item in compare([first, extended]).tables] == [0, 5]
    assert [item.one_measurement for item in compare([first, second]).tables] == [0, 0]
