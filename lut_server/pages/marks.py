"""Rows of marks with their intervals over one logarithmic axis, for wide screens and for phones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from xml.etree import ElementTree

from latency_tables.contract import Verdict
from lut_server.pages.drawing import add, canvas, log_ticks, most_ticks, text, wrapped, written
from lut_server.pages.formatting import ratio

FEW_ROWS = 24
MARGIN = 16
GAP = 28
HEADING = 47
AXIS = 34
OVERALL = 30


class PanelSizes(NamedTuple):
    """Widths in pixels. Names of kinds are beside their marks, `labels` wide, or above them, `above` high."""

    panel: float
    notes: float
    labels: float
    above: float


ONE_PANEL = PanelSizes(panel=760, notes=76, labels=168, above=0)
PANELS_ABREAST = PanelSizes(panel=330, notes=76, labels=168, above=0)
PHONE = PanelSizes(panel=252, notes=60, labels=0, above=17)


class Mark(NamedTuple):
    """A value with its interval; `style` is a class of the style sheet."""

    value: float
    low: float
    high: float
    style: Verdict
    tooltip: str


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


def draw(
    title: str,
    subtitle: str,
    described: str,
    groups: Sequence[Group],
    panels: Sequence[Panel],
    band: tuple[float, float] | None,
    label: "Label",
    note: str,
    phone: bool,
) -> str:
    """Panels side by side, or one below the other on a phone."""
    layout = PHONE if phone else ONE_PANEL if len(panels) == 1 else PANELS_ABREAST
    abreast = 1 if phone else len(panels)
    width = MARGIN * 2 + layout.labels + abreast * (layout.panel + layout.notes) + (abreast - 1) * GAP
    titles, subtitles = wrapped(title, width, points=16), wrapped(subtitle, width)
    head = 26 + 19 * len(titles) + 16 * (len(subtitles) - 1)
    marks = [mark for group in groups for row in group.rows for mark in row]
    axis = _Axis.over([*marks, *(panel.overall for panel in panels if panel.overall)], band, layout.panel)
    body = _Body(groups, axis, band, label, note, layout)
    block = HEADING + (OVERALL if any(panel.overall for panel in panels) else 0) + body.height + AXIS
    height = head + block * (len(panels) // abreast)
    root = canvas(width, height, title, f"{subtitle}. {described}")
    for number, line in enumerate(titles):
        text(root, MARGIN, 26 + 19 * number, line, "title")
    for number, line in enumerate(subtitles):
        text(root, MARGIN, 26 + 19 * len(titles) + 16 * number, line, "quiet")
    for start in range(0, len(panels), abreast):
        body.draw(root, head + block * (start // abreast), width, list(enumerate(panels))[start : start + abreast])
    return written(root)


@dataclass(frozen=True)
class _Body:
    """Groups of marks over one axis, for the panels that are side by side."""

    groups: Sequence[Group]
    axis: "_Axis"
    band: tuple[float, float] | None
    label: "Label"
    note: str
    layout: PanelSizes

    @property
    def pitch(self) -> float:
        return 15 if sum(len(group.rows) for group in self.groups) <= FEW_ROWS else 7

    @property
    def heights(self) -> list[float]:
        return [self.layout.above + max(self.pitch * len(group.rows), 14) + 10 for group in self.groups]

    @property
    def height(self) -> float:
        return sum(self.heights)

    def draw(self, root: ElementTree.Element, y: float, width: float, panels: Sequence[tuple[int, Panel]]) -> None:
        """`panels`: each with the index of its marks in a row."""
        layout = self.layout
        has_overall = any(panel.overall for _, panel in panels)
        rules = y + HEADING - 8
        top = y + HEADING + (OVERALL if has_overall else 0)
        tops = [top + sum(self.heights[:index]) for index in range(len(self.groups))]
        lefts = [MARGIN + layout.labels + number * (layout.panel + layout.notes + GAP) for number in range(len(panels))]
        for left in lefts:
            self._draw_axis(root, left, rules, top + self.height)
        for group, start in zip(self.groups, tops, strict=True):
            add(root, "line", class_="grid", x1=MARGIN, x2=width - MARGIN, y1=start, y2=start)
            text(root, MARGIN, start + 17, group.name if layout.above else short(group.name, 20))
            if layout.labels:
                text(root, MARGIN + layout.labels - 14, start + 17, str(len(group.rows)), "quiet", anchor="end")
        if has_overall and layout.labels:
            text(root, MARGIN, top - 12, "all, geometric mean", "strong")
        for left, (index, panel) in zip(lefts, panels, strict=True):
            right = left + layout.panel + layout.notes - 4
            if panel.heading:
                shown = short(panel.heading, int(layout.panel // 7))
                text(root, left, rules - 10, shown, "strong", whole=panel.heading)
            text(root, right, rules - 10, panel.verdict or self.note, panel.style, anchor="end")
            if panel.overall:
                _mark(root, left, top - 16, panel.overall, self.axis, radius=4.5)
                text(root, right, top - 12, ratio(panel.overall.value), "strong", anchor="end")
            for group, start in zip(self.groups, tops, strict=True):
                for row_number, row in enumerate(group.rows):
                    _mark(root, left, start + layout.above + 12 + row_number * self.pitch, row[index], self.axis, 2.6)
                text(root, right, start + 17, group.notes[index], "quiet", anchor="end")

    def _draw_axis(self, root: ElementTree.Element, left: float, top: float, bottom: float) -> None:
        if self.band:
            low, high = (left + self.axis.x(edge) for edge in self.band)
            add(root, "rect", class_="band", x=low, y=top, width=high - low, height=bottom - top)
        for value in self.axis.ticks:
            x = left + self.axis.x(value)
            add(root, "line", class_="rule" if self.band and value == 1 else "grid", x1=x, x2=x, y1=top, y2=bottom + 5)
            text(root, x, bottom + 20, self.label(value), "quiet", anchor="middle")


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
        return cls(low, high, width, log_ticks(low, high, most_ticks(width)))

    def x(self, value: float) -> float:
        return self.width * math.log(value / self.low) / math.log(self.high / self.low)


def _mark(root: ElementTree.Element, left: float, y: float, mark: Mark, axis: _Axis, radius: float) -> None:
    group = add(root, "g")
    add(group, "title").text = mark.tooltip
    ends = {"x1": left + axis.x(mark.low), "x2": left + axis.x(mark.high)}
    add(group, "line", class_=mark.style, y1=y, y2=y, stroke_width=1.6, **ends)
    add(group, "circle", class_=mark.style, cx=left + axis.x(mark.value), cy=y, r=radius)


def short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
