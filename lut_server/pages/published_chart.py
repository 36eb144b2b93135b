"""Figure 1 on the web: accuracy against images a second, measured full, published hollow."""

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from latency_tables.contract import LatencyTable
from lut_server.pages.drawing import add, canvas, even_ticks, log_ticks, most_ticks, text, wrapped, written
from lut_server.pages.marks import short
from published_networks.facts import Data
from published_networks.standing import Standing, here, published

MARGIN = 16
LEFT = 56
DOT = 4.2
LABEL_HEIGHT = 14
CHARACTER = 6.4
"""Pixels of a line of labels, and of a letter in it."""


class _Plot(NamedTuple):
    """The box of the plot in pixels, and what its sides show: images a second (logarithmic), mIoU in percent."""

    top: float
    width: float
    height: float
    speeds: tuple[float, float]
    accuracies: tuple[float, float]

    def x(self, fps: float) -> float:
        low, high = self.speeds
        return LEFT + self.width * math.log(fps / low) / math.log(high / low)

    def y(self, miou: float) -> float:
        low, high = self.accuracies
        return self.top + self.height * (high - miou) / (high - low)


def published_chart(
    table: LatencyTable, standing: Sequence[Standing], data: Data, *, phone: bool = False
) -> str | None:
    """The measured networks of a data set; names beside the marks, on a phone in the tooltips. None without any."""
    shown = [row for row in standing if row.fps and row.entry.miou and row.entry.data == data]
    if not shown:
        return None
    width = 360 if phone else 1000
    title = f"{data} on {short(table.device.name, 60)} · {table.runtime}"
    subtitle = "mIoU in % against images a second; full: measured here, hollow: as published, each on its own card"
    titles, subtitles = wrapped(title, width, points=16), wrapped(subtitle, width)
    top = 40 + 19 * len(titles) + 16 * len(subtitles)
    speeds = [speed for row in shown for speed in (row.fps, row.entry.fps) if speed]
    accuracies = [row.entry.miou or 0.0 for row in shown]
    low, high = min(accuracies), max(accuracies)
    room = 0.08 * (high - low) + 0.5
    plot = _Plot(
        top=top,
        width=width - LEFT - MARGIN,
        height=280 if phone else 460,
        speeds=(0.7 * min(speeds), 1.6 * max(speeds)),
        accuracies=(low - room, high + room),
    )
    described = "; ".join(f"{row.entry.title}: {row.entry.miou} %, {here(row)} a second" for row in shown)
    root = canvas(width, top + plot.height + 44, title, f"{subtitle}. {described}.")
    for number, line in enumerate(titles):
        text(root, MARGIN, 26 + 19 * number, line, "title")
    for number, line in enumerate(subtitles):
        text(root, MARGIN, 26 + 19 * len(titles) + 16 * number, line, "quiet")
    _axes(root, plot)
    for row in shown:
        if row.fps and row.entry.fps:
            y = plot.y(row.entry.miou or 0.0)
            ends = {"x1": plot.x(row.fps), "x2": plot.x(row.entry.fps)}
            add(root, "line", class_="ambiguous", y1=y, y2=y, stroke_width=1, **ends)
    for row in shown:
        _marks(root, plot, row)
    if not phone:
        _names(root, plot, shown)
    return written(root)


def _axes(root: ElementTree.Element, plot: _Plot) -> None:
    bottom = plot.top + plot.height
    for fps in log_ticks(*plot.speeds, most_ticks(plot.width)):
        x = plot.x(fps)
        add(root, "line", class_="grid", x1=x, x2=x, y1=plot.top, y2=bottom)
        text(root, x, bottom + 18, f"{fps:g}", "quiet", anchor="middle")
    for miou in even_ticks(*plot.accuracies):
        y = plot.y(miou)
        add(root, "line", class_="grid", x1=LEFT, x2=LEFT + plot.width, y1=y, y2=y)
        text(root, LEFT - 8, y + 4, f"{miou:g}", "quiet", anchor="end")
    text(root, LEFT + plot.width, bottom + 36, "images a second", "quiet", anchor="end")


def _marks(root: ElementTree.Element, plot: _Plot, row: Standing) -> None:
    assert row.fps is not None
    assert row.entry.miou is not None
    group, y = add(root, "g"), plot.y(row.entry.miou)
    add(group, "title").text = f"{row.entry.title}: {here(row)} a second here, published {published(row.entry)}"
    if row.entry.fps:
        add(group, "circle", class_="ambiguous", cx=plot.x(row.entry.fps), cy=y, r=DOT)
    add(group, "circle", class_="faster", cx=plot.x(row.fps), cy=y, r=DOT)


def _names(root: ElementTree.Element, plot: _Plot, shown: Sequence[Standing]) -> None:
    """Beside the measured marks, lower where another name is in the way."""
    taken: list[tuple[float, float, float]] = []
    for row in sorted(shown, key=lambda row: -(row.entry.miou or 0.0)):
        assert row.fps is not None
        assert row.entry.miou is not None
        left, y = plot.x(row.fps) + 9, plot.y(row.entry.miou) - 4
        right = left + CHARACTER * len(row.entry.title)
        while any(left < end and right > start and abs(y - other) < LABEL_HEIGHT for start, end, other in taken):
            y += 2
        taken.append((left, right, y))
        text(root, left, y, row.entry.title)
