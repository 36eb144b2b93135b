"""The content of the pictures on the docs page and the web page."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeVar

from latency_tables.contract import (
    ComparedTable,
    Comparison,
    Expectation,
    LatencyTable,
    NetworkRecord,
    OperationSpec,
    Path,
    Prediction,
    Verdict,
)
from latency_tables.latencies import IN_WORDS, basis_of, bounds_us, latency_us
from latency_tables.plain_text import moment
from latency_tables.statistics import quantile
from lut_server.analysis.comparison import geometric_mean_ratio
from lut_server.pages.formatting import (
    NARROW,
    interval,
    latency,
    latency_tick,
    params,
    percent,
    ratio,
    shapes,
    tick,
)
from lut_server.pages.labels import labels
from lut_server.pages.marks import Group, Mark, Panel, draw, short

WELL_PREDICTED = 0.05
"""The half width of the band in pictures of predictions, relative."""

Item = TypeVar("Item")


def comparison_chart(comparison: Comparison, *, phone: bool = False) -> str:
    """Ratio per operation with its interval on a logarithmic axis, by kind of operation; one panel per table."""
    reference, *others = comparison.tables
    names = labels([compared.table for compared in comparison.tables])
    kinds = []
    for name, members in _by_kind((compared.operation, compared) for compared in comparison.operations):
        means = [
            geometric_mean_ratio([compared.ratios[index].value for compared in members], [1.0] * len(members))
            for index in range(1, len(comparison.tables))
        ]
        rows = [
            [
                Mark(
                    against.value,
                    against.low,
                    against.high,
                    against.verdict,
                    f"{_in_words(compared.operation)}: {ratio(against.value)}",
                )
                for against in compared.ratios[1:]
            ]
            for compared in sorted(members, key=lambda compared: compared.ratios[1].value)
        ]
        kinds.append((means[0], Group(name, rows, [ratio(mean) for mean in means])))
    count = len(comparison.operations)
    return draw(
        title=f"Latency against {short(names[0], 80)}",
        subtitle=f"{count} operations, ratio with 95{NARROW}% interval; left of 1× is faster; {_of_table(reference)}",
        described="; ".join(
            f"{name}: {ratio(other.overall.value)} ({interval(other.overall)}), {other.overall.verdict}"
            for name, other in zip(names[1:], others, strict=True)
        ),
        groups=[group for _, group in sorted(kinds, key=lambda kind: (kind[0], kind[1].name))],
        panels=[_panel(name, other) for name, other in zip(names[1:], others, strict=True)],
        band=(1 / (1 + comparison.margin_rel), 1 + comparison.margin_rel),
        label=tick,
        note="mean",
        phone=phone,
    )


def table_chart(table: LatencyTable, *, phone: bool = False) -> str:
    """Latency per operation with its interval on a logarithmic axis, by kind of operation, fastest first.

    The latencies are those that sums are of: at the machine's quiet speed where every row has that.
    """
    basis = basis_of(table)
    kinds = []
    for name, members in _by_kind((row.operation, row) for row in table.rows):
        ordered = sorted(members, key=lambda row: latency_us(row, basis))
        latencies_us = [latency_us(row, basis) for row in ordered]
        rows = [
            [
                Mark(
                    own_us,
                    *bounds_us(row, basis),
                    "faster" if row.quality.sound else "ambiguous",
                    f"{_in_words(row.operation)}: {latency(own_us)}",
                )
            ]
            for own_us, row in zip(latencies_us, ordered, strict=True)
        ]
        median = quantile(latencies_us, 0.5)
        kinds.append((median, Group(name, rows, [latency(median)])))
    doubtful = sum(not row.quality.sound for row in table.rows)
    content = f"{len(table.rows)} operations, {IN_WORDS[basis]} with 95{NARROW}% interval"
    return draw(
        title=f"{short(table.device.name, 60)} · {table.runtime}",
        subtitle=content + (f"; hollow: doubtful ({doubtful})" if doubtful else ""),
        described=content,
        groups=[group for _, group in sorted(kinds, key=lambda kind: (kind[0], kind[1].name))],
        panels=[Panel(heading="")],
        band=None,
        label=latency_tick,
        note="median",
        phone=phone,
    )


def networks_chart(networks: Sequence[NetworkRecord], *, phone: bool = False) -> str | None:
    """Calibrated prediction over measured latency of each network, by device, and by space where there are several.

    None before there is one.
    """
    by_device: dict[str, list[Mark]] = {}
    has_one_space = len({network.network.space for network in networks}) == 1
    for network in networks:
        for result in network.results:
            if result.predicted_us is not None and result.low_us is not None and result.high_us is not None:
                measured_us = result.measured_us
                value = result.predicted_us / measured_us
                style: Verdict = "same" if result.quality.sound else "ambiguous"
                tooltip = f"{network.name or network.id[:12]}, {result.runtime}: {percent(value - 1, signed=True)}"
                low, high = max(result.low_us, 0.01 * result.predicted_us) / measured_us, result.high_us / measured_us
                name = result.device.name if has_one_space else f"{network.network.space}, {result.device.name}"
                by_device.setdefault(name, []).append(Mark(value, low, high, style, tooltip))
    if not by_device:
        return None
    groups = [
        Group(
            name,
            [[mark] for mark in sorted(marks, key=lambda mark: mark.value)],
            [percent(quantile(sorted(mark.value for mark in marks), 0.5) - 1, signed=True)],
        )
        for name, marks in sorted(by_device.items())
    ]
    content = f"predicted ÷ measured, with the prediction’s 90{NARROW}% interval; left of 1× is too low a prediction"
    return draw(
        title="Predicted against measured",
        subtitle=f"{content}; band: within {WELL_PREDICTED:.0%}",
        described="; ".join(f"{group.name}: {group.notes[0]}" for group in groups),
        groups=groups,
        panels=[Panel(heading="")],
        band=(1 / (1 + WELL_PREDICTED), 1 + WELL_PREDICTED),
        label=tick,
        note="median",
        phone=phone,
    )


def expectation_chart(
    paths: Sequence[Path],
    expectations: Sequence[Expectation],
    deadline_us: float | None = None,
    *,
    phone: bool = False,
) -> str:
    """What an input takes in the mean and on each path, with intervals; one panel per device.

    Paths that do not stay within the deadline, the upper end of their interval included, are marked as slower.
    """
    columns = [_expected_and_paths(paths, expectation) for expectation in expectations]
    groups = [
        Group(
            name,
            [[_latency_mark(name, column[row][1], None if row == 0 else deadline_us) for column in columns]],
            [latency(column[row][1].predicted_us or column[row][1].raw_us or 0) for column in columns],
        )
        for row, (name, _) in enumerate(columns[0])
    ]
    lowest = min(mark.low for group in groups for mark in group.rows[0])
    return draw(
        title="Expected latency",
        subtitle=f"each path and the mean over inputs, predicted with 90{NARROW}% interval"
        + (f"; band: within {latency(deadline_us)}" if deadline_us else ""),
        described="; ".join(f"{group.name}: {', '.join(group.notes)}" for group in groups),
        groups=groups,
        panels=[Panel(heading=f"{of.device.name} · {of.runtime}") for of in expectations],
        band=(min(lowest, deadline_us), deadline_us) if deadline_us else None,
        label=latency_tick,
        note="mean",
        phone=phone,
    )


def _expected_and_paths(paths: Sequence[Path], expectation: Expectation) -> list[tuple[str, Expectation | Prediction]]:
    named = [f"{path.label}, {path.rate:.3g}" for path in paths]
    return [("expected", expectation), *zip(named, expectation.paths, strict=True)]


def _latency_mark(name: str, of: Expectation | Prediction, deadline_us: float | None) -> Mark:
    value = of.predicted_us or of.raw_us or 0
    low_us, high_us = max(of.low_us or value, 0.01 * value), of.high_us or value
    style: Verdict = "same" if deadline_us is None else "faster" if high_us <= deadline_us else "slower"
    return Mark(value, low_us, high_us, style, f"{name}: {latency(value)}")


def _panel(name: str, compared: ComparedTable) -> Panel:
    overall = compared.overall
    return Panel(
        heading=f"{name} · {compared.table.runtime}",
        verdict=overall.verdict,
        style=overall.verdict,
        overall=Mark(
            overall.value, overall.low, overall.high, overall.verdict, f"{ratio(overall.value)} ({interval(overall)})"
        ),
    )


def _of_table(compared: ComparedTable) -> str:
    return f"{compared.table.runtime}, {moment(compared.table.created_at)}"


def _in_words(operation: OperationSpec) -> str:
    return ", ".join(filter(None, (operation.name, shapes(operation), params(operation))))


def _by_kind(items: Iterable[tuple[OperationSpec, Item]]) -> list[tuple[str, list[Item]]]:
    def kind(pair: tuple[OperationSpec, Item]) -> str:
        return pair[0].name

    return [(name, [item for _, item in group]) for name, group in groupby(sorted(items, key=kind), key=kind)]
