"""The pictures that the docs page and the web page show: SVG, made here, readable on light and dark."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, Protocol, TypeVar
from xml.etree import ElementTree

from lut_server.comparison import geometric_mean_ratio
from lut_server.formatting import NARROW, interval, latency, latency_tick, params, percent, ratio, runtime, shapes, tick
from lut_server.schemas import ComparedTable, Comparison, LatencyTable, NetworkRecord, OperationSpec, Verdict
from lut_server.statistics import quantile

SVG = "http://www.w3.org/2000/svg"
MEDIA_TYPE = "image/svg+xml"
FEW_ROWS = 24
MARGIN = 16
LABELS = 168
NOTES = 76
PANEL = 760
NARROW_PANEL = 330
GAP = 28
TOP = 92
AXIS = 34
WELL_PREDICTED = 0.1
OVERALL = 30

_STYLE = """
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#1b1f24;font-variant-numeric:tabular-nums}
.paper{fill:#fff}.title{font-size:15px;font-weight:600}.quiet{fill:#5b6470}.strong{font-weight:600}
.grid{stroke:#e3e6ea}.rule{stroke:#9aa2ad}.band{fill:#eef0f3}
.faster{stroke:#0b63b0;fill:#0b63b0}.slower{stroke:#b84a00;fill:#b84a00}.same{stroke:#3d444d;fill:#3d444d}
.ambiguous{stroke:#9199a4;fill:#fff}line.ambiguous{stroke:#b7bdc6}
text.faster,text.slower,text.same,text.ambiguous{stroke:none}text.ambiguous{fill:#5b6470}
@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.paper{fill:#15181c}.quiet{fill:#9aa4b0}.grid{stroke:#2a2f36}
.rule{stroke:#6b7480}.band{fill:#20252b}.faster{stroke:#6ab4ff;fill:#6ab4ff}.slower{stroke:#ff9f5a;fill:#ff9f5a}
.same{stroke:#c3c9d1;fill:#c3c9d1}.ambiguous{stroke:#7b8591;fill:#15181c}line.ambiguous{stroke:#4d5560}
text.ambiguous{fill:#9aa4b0}}
"""


_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Item = TypeVar("Item")


class Mark(NamedTuple):
    """A value with its interval; `style` is a class of the style sheet, `said` what a pointer over it shows."""

    value: float
    low: float
    high: float
    style: Verdict
    said: str


@dataclass(frozen=True)
class Group:
    """Operations of one kind: per operation a mark for every panel, and per panel a note beside them."""

    name: str
    rows: Sequence[Sequence[Mark]]
    notes: Sequence[str]


@dataclass(frozen=True)
class Panel:
    """One column of the picture with its own heading, and the mark over all of its operations."""

    heading: str
    verdict: str = ""
    style: str = "quiet"
    overall: Mark | None = None


def comparison_chart(comparison: Comparison) -> str:
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
    return _picture(
        title=f"Latency against {_short(reference.table.device_name, 60)}",
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
    )


def table_chart(table: LatencyTable) -> str:
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
    return _picture(
        title=f"{_short(table.device.name, 60)} · {runtime(table.runtime)}",
        subtitle=said + (f"; hollow: doubtful ({doubtful})" if doubtful else ""),
        described=said,
        groups=[group for _, group in sorted(kinds, key=lambda item: (item[0], item[1].name))],
        panels=[Panel(heading="")],
        band=None,
        label=latency_tick,
        note="median",
    )


def networks_chart(networks: Sequence[NetworkRecord]) -> str | None:
    """Predicted over measured latency of each network, by device; None before there is a prediction."""
    by_device: dict[str, list[Mark]] = {}
    for network in networks:
        for result in network.results:
            if result.predicted_us is not None:
                measured = result.measured
                value = result.predicted_us / measured.median_us
                bounds = (result.predicted_us / measured.high_us, result.predicted_us / measured.low_us)
                style: Verdict = "same" if result.quality.sound else "ambiguous"
                said = f"{network.id[:12]}, {runtime(result.runtime)}: {percent(value - 1, signed=True)}"
                by_device.setdefault(result.device.name, []).append(Mark(value, *bounds, style, said))
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
    said = f"predicted ÷ measured, with the measurement’s 95{NARROW}% interval; left of 1× is too low a prediction"
    return _picture(
        title="Predicted against measured",
        subtitle=f"{said}; band: within {WELL_PREDICTED:.0%}",
        described="; ".join(f"{group.name}: {group.notes[0]}" for group in groups),
        groups=groups,
        panels=[Panel(heading="")],
        band=(1 / (1 + WELL_PREDICTED), 1 + WELL_PREDICTED),
        label=tick,
        note="median",
    )


def _picture(
    title: str,
    subtitle: str,
    described: str,
    groups: Sequence[Group],
    panels: Sequence[Panel],
    band: tuple[float, float] | None,
    label: "Label",
    note: str,
) -> str:
    total = sum(len(group.rows) for group in groups)
    pitch = 15 if total <= FEW_ROWS else 7
    heights = [max(pitch * len(group.rows), 14) + 10 for group in groups]
    has_overall = any(panel.overall for panel in panels)
    top = TOP + (OVERALL if has_overall else 0)
    bottom = top + sum(heights)
    panel_width = PANEL if len(panels) == 1 else NARROW_PANEL
    width = MARGIN * 2 + LABELS + len(panels) * (panel_width + NOTES) + (len(panels) - 1) * GAP
    height = bottom + AXIS
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": SVG,
            "viewBox": f"0 0 {width} {height}",
            "width": str(width),
            "height": str(height),
            "role": "img",
            "aria-labelledby": "chart-title chart-description",
        },
    )
    _add(root, "title", id="chart-title").text = title
    _add(root, "desc", id="chart-description").text = f"{subtitle}. {described}"
    _add(root, "style").text = _STYLE
    _add(root, "rect", class_="paper", width=width, height=height)
    _text(root, MARGIN, 26, title, "title")
    _text(root, MARGIN, 45, subtitle, "quiet")

    tops = [top + sum(heights[:place]) for place in range(len(heights))]
    for group, y in zip(groups, tops, strict=True):
        _add(root, "line", class_="grid", x1=MARGIN, x2=width - MARGIN, y1=y, y2=y)
        _text(root, MARGIN, y + 17, _short(group.name, 20))
        _text(root, MARGIN + LABELS - 14, y + 17, str(len(group.rows)), "quiet", anchor="end")
    if has_overall:
        _text(root, MARGIN, top - 12, "all, geometric mean", "strong")

    marks = [mark for group in groups for row in group.rows for mark in row]
    axis = _Axis.over([*marks, *(panel.overall for panel in panels if panel.overall)], band, panel_width)
    for place, panel in enumerate(panels):
        left = MARGIN + LABELS + place * (panel_width + NOTES + GAP)
        if band:
            low, high = (left + axis.x(edge) for edge in band)
            _add(root, "rect", class_="band", x=low, y=TOP - 8, width=high - low, height=bottom - TOP + 8)
        for value in axis.ticks:
            x = left + axis.x(value)
            _add(root, "line", class_="rule" if band and value == 1 else "grid", x1=x, x2=x, y1=TOP - 8, y2=bottom + 5)
            _text(root, x, bottom + 20, label(value), "quiet", anchor="middle")
        if panel.heading:
            _text(root, left, TOP - 18, _short(panel.heading, panel_width // 7), "strong", whole=panel.heading)
        _text(root, left + panel_width + NOTES - 4, TOP - 18, panel.verdict or note, panel.style, anchor="end")
        if panel.overall:
            _mark(root, left, top - 16, panel.overall, axis, radius=4.5)
            _text(root, left + panel_width + NOTES - 4, top - 12, ratio(panel.overall.value), "strong", anchor="end")
        for group, y in zip(groups, tops, strict=True):
            for number, row in enumerate(group.rows):
                _mark(root, left, y + 12 + number * pitch, row[place], axis, radius=2.6)
            _text(root, left + panel_width + NOTES - 4, y + 17, group.notes[place], "quiet", anchor="end")
    return _NOT_XML.sub("\ufffd", ElementTree.tostring(root, encoding="unicode"))


class Label(Protocol):
    """A number as the axis shows it."""

    def __call__(self, value: float, /) -> str: ...


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis of `width` pixels from `low` to `high`."""

    low: float
    high: float
    width: float
    ticks: Sequence[float]

    @classmethod
    def over(cls, marks: Sequence[Mark], band: tuple[float, float] | None, width: float) -> "_Axis":
        edges = band or ()
        low = min([*(mark.low for mark in marks), *edges])
        high = max([*(mark.high for mark in marks), *edges])
        room = max(math.log(high / low) * 0.04, 0.02)
        low, high = low / math.exp(room), high * math.exp(room)
        return cls(low, high, width, _ticks(low, high))

    def x(self, value: float) -> float:
        return self.width * math.log(value / self.low) / math.log(self.high / self.low)


MAX_TICKS = 7
_NARROW_RANGE = 2.5
_STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 3.0, 4.0, 5.0, 7.0))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`: as many as leave room for their labels."""
    if high / low < _NARROW_RANGE:
        return _multiples(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = 1 + (len(decades) - 1) // MAX_TICKS  # of very many decades not each has room
    fitting: list[float] = []
    for steps in _STEPS:
        ticks = [float(f"{step}e{decade}") for decade in decades[::every] for step in steps]
        ticks = [value for value in ticks if low <= value <= high]
        if len(ticks) > MAX_TICKS:
            break
        fitting = ticks
    return fitting


def _multiples(low: float, high: float) -> list[float]:
    """Multiples of the least of …, 0.1, 0.2, 0.5, 1, … that leaves room."""
    decade = math.floor(math.log10((high - low) / MAX_TICKS))
    for step in (1, 2, 5, 10, 20, 50):
        first, last = (math.ceil(low / 10**decade / step), math.floor(high / 10**decade / step))
        if last - first < MAX_TICKS:
            # As text, so that the numbers are the round ones that they seem to be.
            return [float(f"{number * step}e{decade}") for number in range(first, last + 1)]
    raise AssertionError("fifty times the finest step always leaves room")


def _mark(root: ElementTree.Element, left: float, y: float, mark: Mark, axis: _Axis, radius: float) -> None:
    group = _add(root, "g")
    _add(group, "title").text = mark.said
    ends = {"x1": left + axis.x(mark.low), "x2": left + axis.x(mark.high)}
    _add(group, "line", class_=mark.style, y1=y, y2=y, stroke_width=1.6, **ends)
    _add(group, "circle", class_=mark.style, cx=left + axis.x(mark.value), cy=y, r=radius)


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
    return f"{runtime(item.table.runtime)}, {item.table.created_at:%Y-%m-%d}"


def _said(operation: OperationSpec) -> str:
    return ", ".join(filter(None, (operation.name, shapes(operation), params(operation))))


def _by_kind(items: Iterable[tuple[OperationSpec, Item]]) -> list[tuple[str, list[Item]]]:
    ordered = sorted(items, key=lambda item: item[0].name)
    return [(name, [item for _, item in group]) for name, group in groupby(ordered, key=lambda item: item[0].name)]


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _text(
    root: ElementTree.Element, x: float, y: float, text: str, class_: str = "", anchor: str = "start", whole: str = ""
) -> None:
    element = _add(root, "text", class_=class_, x=x, y=y, text_anchor=anchor)
    element.text = text
    if whole and whole != text:
        _add(element, "title").text = whole


def _add(parent: ElementTree.Element, tag: str, **attributes: float | str) -> ElementTree.Element:
    """A child element; underscores stand for the hyphens and the `class` that Python does not take as names."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value != ""}
    return ElementTree.SubElement(
        parent, tag, {name: value if isinstance(value, str) else f"{value:.6g}" for name, value in named.items()}
    )
