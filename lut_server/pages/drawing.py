"""Drawing with SVG: a canvas that is readable on light and dark, and round numbers for axes."""

import math
import re
from textwrap import wrap
from xml.etree import ElementTree

SVG = "http://www.w3.org/2000/svg"
MEDIA_TYPE = "image/svg+xml"

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

MAX_TICKS = 7
TICK_WIDTH = 50
_NARROW_RANGE = 2.5
_STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))


def most_ticks(width: float) -> int:
    """How many labels have room on an axis of so many pixels."""
    return min(MAX_TICKS, int(width // TICK_WIDTH))


def log_ticks(low: float, high: float, most: int = MAX_TICKS) -> list[float]:
    """Round numbers from `low` to `high` on a logarithmic axis: as many as leave room for their labels."""
    if high / low < _NARROW_RANGE:
        return even_ticks(low, high, most)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = 1 + (len(decades) - 1) // most  # more decades than have room
    fitting: list[float] = []
    for steps in _STEPS:
        ticks = [float(f"{step}e{decade}") for decade in decades[::every] for step in steps]
        ticks = [value for value in ticks if low <= value <= high]
        if len(ticks) > most:
            break
        fitting = ticks
    return fitting


def even_ticks(low: float, high: float, most: int = MAX_TICKS) -> list[float]:
    """Multiples of the least of …, 0.1, 0.2, 0.5, 1, … that leaves room."""
    decade = math.floor(math.log10((high - low) / most))
    for step in (1, 2, 5, 10, 20, 50):
        first, last = (math.ceil(low / 10**decade / step), math.floor(high / 10**decade / step))
        if last - first < most:
            # As text, so that the numbers are the round ones that they seem to be.
            return [float(f"{number * step}e{decade}") for number in range(first, last + 1)]
    raise AssertionError("fifty times the finest step always leaves room")


def canvas(width: float, height: float, title: str, described: str) -> ElementTree.Element:
    """An empty picture with its description for screen readers."""
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": SVG,
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": f"{width:g}",
            "height": f"{height:g}",
            "role": "img",
            "aria-labelledby": "chart-title chart-description",
        },
    )
    add(root, "title", id="chart-title").text = title
    add(root, "desc", id="chart-description").text = described
    add(root, "style").text = _STYLE
    add(root, "rect", class_="paper", width=width, height=height)
    return root


def written(root: ElementTree.Element) -> str:
    """The picture as SVG; characters that XML cannot hold are replaced."""
    return _NOT_XML.sub("\ufffd", ElementTree.tostring(root, encoding="unicode"))


def wrapped(words: str, width: float, points: float = 12) -> list[str]:
    """Lines of text of a size for a picture of a width in pixels."""
    return wrap(words, int((width - 32) / (points * 0.53)))


def text(
    root: ElementTree.Element,
    x: float,
    y: float,
    content: str,
    class_: str = "",
    anchor: str = "start",
    whole: str = "",
) -> None:
    element = add(root, "text", class_=class_, x=x, y=y, text_anchor=anchor)
    element.text = content
    if whole and whole != content:
        add(element, "title").text = whole


def add(parent: ElementTree.Element, tag: str, **attributes: float | str) -> ElementTree.Element:
    """A child element. `class_` is its class; underscores in other names become hyphens."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value != ""}
    return ElementTree.SubElement(
        parent, tag, {name: value if isinstance(value, str) else f"{value:.6g}" for name, value in named.items()}
    )
