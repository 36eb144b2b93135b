"""The picture of a calibration: predicted against measured latency, and the errors against size and depth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from textwrap import wrap
from typing import NamedTuple
from xml.etree import ElementTree

from latency_tables.contract import Calibration, Evidence
from lut_server.pages.charts import WELL_PREDICTED
from lut_server.pages.drawing import add, canvas, even_ticks, text, written
from lut_server.pages.formatting import NARROW, latency, latency_tick, percent, tick

MARGIN = 16
DOT = 3.6


class Box(NamedTuple):
    """The box of a plot, below its heading, in pixels."""

    left: float
    top: float
    width: float
    height: float


class Arrangement(NamedTuple):
    """Size of the picture, characters of a line, labels of an axis, and boxes of the plots, counted below the title."""

    width: float
    height: float
    characters: int
    ticks: int
    square: Box
    others: tuple[Box, Box]


WIDE = Arrangement(1000, 466, 140, 7, Box(84, 24, 400, 400), (Box(600, 24, 376, 160), Box(600, 264, 376, 160)))
PHONE = Arrangement(360, 796, 50, 4, Box(72, 24, 272, 272), (Box(72, 360, 272, 150), Box(72, 592, 272, 150)))


def calibration_chart(calibration: Calibration, phone: bool = False) -> str:
    """Each network as the others predict it: full with its 90 % interval; hollow: the raw sum of its rows."""
    layout = PHONE if phone else WIDE
    evidence, card = calibration.evidence, calibration.card
    title = "Predicted against measured"
    subtitle = (
        f"{card.networks} networks, each predicted from the others with its 90{NARROW}% interval; hollow: the raw sum; "
        f"band: within {WELL_PREDICTED:.0%}"
    )
    measuring = "" if card.measuring is None else f" (measuring: {percent(card.measuring)})"
    described = (
        f"Calibrated predictions are off by {percent(card.calibrated.mape)} in the mean{measuring}, raw sums by "
        f"{percent(card.raw.mape)}"
    )
    lines = [*wrap(subtitle, layout.characters), *wrap(described, layout.characters)]
    head = 48 + 16 * len(lines)
    root = canvas(layout.width, head + layout.height, title, f"{subtitle}. {described}.")
    text(root, MARGIN, 26, title, "title")
    for number, line in enumerate(lines):
        text(root, MARGIN, 45 + 16 * number, line, "quiet")
    _against_measured(root, _below(layout.square, head), layout.ticks, evidence)
    raw_us = [network.raw_us for network in evidence]
    operations = [float(network.operations) for network in evidence]
    first, second = (_below(box, head) for box in layout.others)
    _off_by(root, first, layout.ticks, "Off by, against raw sum", raw_us, latency_tick, evidence, "raw sum")
    _off_by(
        root, second, layout.ticks, "Off by, against operations (launches)", operations, _count, evidence, "operations"
    )
    return written(root)


def _against_measured(root: ElementTree.Element, box: Box, ticks: int, evidence: Sequence[Evidence]) -> None:
    span = _Span.over(
        [
            value
            for network in evidence
            for value in (network.measured_us, network.predicted_us, network.raw_us, network.low_us, network.high_us)
        ]
    )
    plot = _Plot(box, span, span)
    low, high = span
    under, over = 1 - WELL_PREDICTED, 1 + WELL_PREDICTED
    corners = [
        (low, low),
        (low, low * over),
        (high / over, high),
        (high, high),
        (high, high * under),
        (low / under, low),
    ]
    band = " ".join(f"{plot.x(x):.1f},{plot.y(y):.1f}" for x, y in corners)
    add(root, "polygon", class_="band", points=band)
    plot.frame(root, "Predicted, against measured", ticks, latency_tick, latency_tick, "measured")
    add(root, "line", class_="rule", x1=plot.x(low), y1=plot.y(low), x2=plot.x(high), y2=plot.y(high))
    for network in evidence:
        tooltip = f"{network.network[:12]}: measured {latency(network.measured_us)}, raw sum {latency(network.raw_us)}"
        _dot(root, plot.x(network.measured_us), plot.y(network.raw_us), "ambiguous", tooltip)
    for network in evidence:
        x = plot.x(network.measured_us)
        predicted = latency(network.predicted_us)
        tooltip = f"{network.network[:12]}: measured {latency(network.measured_us)}, predicted {predicted}"
        _whisker(root, x, plot.y(network.low_us), plot.y(network.high_us))
        _dot(root, x, plot.y(network.predicted_us), "faster", tooltip)


def _off_by(
    root: ElementTree.Element,
    box: Box,
    ticks: int,
    heading: str,
    values: Sequence[float],
    label: Callable[[float], str],
    evidence: Sequence[Evidence],
    named: str,
) -> None:
    """Relative errors of the predictions and of the raw sums over a value of each network."""
    errors = [network.predicted_us / network.measured_us - 1 for network in evidence]
    raw_errors = [network.raw_us / network.measured_us - 1 for network in evidence]
    ends = [
        (network.low_us / network.measured_us - 1, network.high_us / network.measured_us - 1) for network in evidence
    ]
    plot = _Plot(box, _Span.over(values), _Span.over([*errors, *raw_errors, 0.06, -0.06, *chain.from_iterable(ends)]))
    plot.frame(root, heading, ticks, label, _share_tick, named)
    right = box.left + box.width
    add(root, "line", class_="rule", x1=box.left, x2=right, y1=plot.y(0), y2=plot.y(0))
    for edge in (plot.y(-WELL_PREDICTED), plot.y(WELL_PREDICTED)):
        add(root, "line", class_="rule", x1=box.left, x2=right, y1=edge, y2=edge, stroke_dasharray="3 4")
    for network, value, error, raw_error, (low, high) in zip(evidence, values, errors, raw_errors, ends, strict=True):
        x = plot.x(value)
        _dot(root, x, plot.y(raw_error), "ambiguous", f"{network.network[:12]}, raw sum: {_signed(raw_error)}")
        _whisker(root, x, plot.y(low), plot.y(high))
        _dot(root, x, plot.y(error), "faster", f"{network.network[:12]}: {_signed(error)}")


def _below(box: Box, head: float) -> Box:
    return box._replace(top=box.top + head)


class _Span(tuple[float, float]):
    """From the least to the greatest value that an axis shows."""

    @classmethod
    def over(cls, values: Sequence[float]) -> "_Span":
        """With some space around the values, even if all are equal."""
        low, high = min(values), max(values)
        beside = max((high - low) * 0.06, abs(high) * 0.02)
        return cls((low - beside, high + beside))


@dataclass(frozen=True)
class _Plot:
    """Two even axes in a box."""

    box: Box
    along: _Span
    across: _Span

    def x(self, value: float) -> float:
        low, high = self.along
        return self.box.left + self.box.width * (value - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.across
        return self.box.top + self.box.height * (high - value) / (high - low)

    def frame(
        self,
        root: ElementTree.Element,
        heading: str,
        ticks: int,
        along: Callable[[float], str],
        across: Callable[[float], str],
        named: str,
    ) -> None:
        """Heading, which says what is upright, grid and labels of both axes; `named` is the lower one."""
        left, top = self.box.left, self.box.top
        right, bottom = left + self.box.width, top + self.box.height
        text(root, left, top - 10, heading, "strong")
        text(root, right, bottom + 34, named, "quiet", anchor="end")
        for value in even_ticks(*self.along, ticks):
            x = self.x(value)
            add(root, "line", class_="grid", x1=x, x2=x, y1=top, y2=bottom)
            text(root, x, bottom + 18, along(value), "quiet", anchor="middle")
        for value in even_ticks(*self.across):
            y = self.y(value)
            add(root, "line", class_="grid", x1=left, x2=right, y1=y, y2=y)
            text(root, left - 8, y + 4, across(value), "quiet", anchor="end")


def _dot(root: ElementTree.Element, x: float, y: float, style: str, tooltip: str) -> None:
    group = add(root, "g")
    add(group, "title").text = tooltip
    add(group, "circle", class_=style, cx=x, cy=y, r=DOT)


def _whisker(root: ElementTree.Element, x: float, y1: float, y2: float) -> None:
    add(root, "line", class_="faster", x1=x, x2=x, y1=y1, y2=y2, stroke_width=1.4)


def _count(value: float) -> str:
    return tick(value, "")


def _share_tick(value: float) -> str:
    return tick(round(100 * value, 6), f"{NARROW}%").replace("-", "−")


def _signed(value: float) -> str:
    return percent(value, signed=True)
