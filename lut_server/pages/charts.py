"""The pictures that the docs page and the web page show: what stands in them."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TypeVar

from latency_tables.contract import ComparedTable, Comparison, LatencyTable, NetworkRecord, OperationSpec, Verdict
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
from lut_server.pages.marks import Group, Mark, Panel, draw, short

WELL_PREDICTED = 0.05
"""The half width of the band in pictures of predictions, relative."""

Item = TypeVar("Item")


def comparison_chart(comparison: Comparison, *, phone: bool = False) -> str:
    """Ratio per operation with its interval on a logarithmic axis, by kind of operation; one panel per table."""
    reference, *others = comparison.tables
    kinds = []
    for name, members in _by_kind((item.operation, item) for item in comparison.operations):
        means = [
            geometric_mean_ratio([item.ratios[place].value for item in members], [1.0] * len(members))
            for place in range(1, len(comparison.tables))
        ]
        rows = [
            [
                Mark(own.value, own.low, own.high, own.verdict, f"{_said(item.operation)}: {ratio(own.value)}")
                for own in item.ratios[1:]
            ]
            for item in sorted(members, key=lambda item: item.ratios[1].value)
        ]
        kinds.append((means[0], Group(name, rows, [ratio(mean) for mean in means])))
    count = len(comparison.operations)
    return draw(
        title=f"Latency against {short(reference.table.device_name, 60)}",
        subtitle=f"{count} operations, ratio with 95{NARROW}% interval; left of 1× is faster; {_of_table(reference)}",
        described="; ".join(
            f"{item.table.device_name}: {ratio(item.overall.value)} ({interval(item.overall)}), {item.overall.verdict}"
            for item in others
        ),
        groups=[group for _, group in sorted(kinds, key=lambda item: (item[0], item[1].name))],
        panels=[_panel(item) for item in others],
        band=(1 / (1 + comparison.margin_rel), 1 + comparison.margin_rel),
        label=tick,
        note="mean",
        phone=phone,
    )


def table_chart(table: LatencyTable, *, phone: bool = False) -> str:
    """Latency per operation with its interval on a logarithmic axis, by kind of operation, fastest first."""
    kinds = []
    for name, members in _by_kind((row.operation, row) for row in table.rows):
        ordered = sorted(members, key=lambda row: row.latency.median_us)
        rows = [
            [
                Mark(
                    row.latency.median_us,
                    row.latency.low_us,
                    row.latency.high_us,
                    "faster" if row.quality.sound else "ambiguous",
                    f"{_said(row.operation)}: {latency(row.latency.median_us)}",
                )
            ]
            for row in ordered
        ]
        median = quantile([row.latency.median_us for row in ordered], 0.5)
        kinds.append((median, Group(name, rows, [latency(median)])))
    doubtful = sum(not row.quality.sound for row in table.rows)
    said = f"{len(table.rows)} operations, median latency with 95{NARROW}% interval"
    return draw(
        title=f"{short(table.device.name, 60)} · {table.runtime}",
        subtitle=said + (f"; hollow: doubtful ({doubtful})" if doubtful else ""),
        described=said,
        groups=[group for _, group in sorted(kinds, key=lambda item: (item[0], item[1].name))],
        panels=[Panel(heading="")],
        band=None,
        label=latency_tick,
        note="median",
        phone=phone,
    )


def networks_chart(networks: Sequence[NetworkRecord], *, phone: bool = False) -> str | None:
    """Calibrated prediction over measured latency of each network, by device; None before there is one."""
    by_device: dict[str, list[Mark]] = {}
    for network in networks:
        for result in network.results:
            if result.predicted_us is not None and result.low_us is not None and result.high_us is not None:
                measured_us = result.measured_us
                value = result.predicted_us / measured_us
                style: Verdict = "same" if result.quality.sound else "ambiguous"
                said = f"{network.id[:12]}, {result.runtime}: {percent(value - 1, signed=True)}"
                low, high = max(result.low_us, 0.01 * result.predicted_us) / measured_us, result.high_us / measured_us
                by_device.setdefault(result.device.name, []).append(Mark(value, low, high, style, said))
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
    said = f"predicted ÷ measured, with the prediction’s 90{NARROW}% interval; left of 1× is too low a prediction"
    return draw(
        title="Predicted against measured",
        subtitle=f"{said}; band: within {WELL_PREDICTED:.0%}",
        described="; ".join(f"{group.name}: {group.notes[0]}" for group in groups),
        groups=groups,
        panels=[Panel(heading="")],
        band=(1 / (1 + WELL_PREDICTED), 1 + WELL_PREDICTED),
        label=tick,
        note="median",
        phone=phone,
    )


def _panel(item: ComparedTable) -> Panel:
    overall = item.overall
    return Panel(
        heading=f"{item.table.device_name} · {_of_table(item)}",
        verdict=overall.verdict,
        style=overall.verdict,
        overall=Mark(
            overall.value, overall.low, overall.high, overall.verdict, f"{ratio(overall.value)} ({interval(overall)})"
        ),
    )


def _of_table(item: ComparedTable) -> str:
    return f"{item.table.runtime}, {item.table.created_at:%Y-%m-%d}"


def _said(operation: OperationSpec) -> str:
    return ", ".join(filter(None, (operation.name, shapes(operation), params(operation))))


def _by_kind(items: Iterable[tuple[OperationSpec, Item]]) -> list[tuple[str, list[Item]]]:
    ordered = sorted(items, key=lambda item: item[0].name)
    return [(name, [item for _, item in group]) for name, group in groupby(ordered, key=lambda item: item[0].name)]
