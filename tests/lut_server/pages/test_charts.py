import html
import re
from datetime import datetime, timezone
from itertools import pairwise
from xml.etree import ElementTree

import pytest
import uuid6
from hypothesis import example, given
from hypothesis import strategies as st

from latency_tables.contract import Calibration, Ratio
from lut_server.analysis.comparison import Side, compare
from lut_server.pages import formatting
from lut_server.pages.calibration_charts import calibration_chart
from lut_server.pages.charts import comparison_chart, networks_chart, table_chart
from lut_server.pages.drawing import MAX_TICKS, SVG
from lut_server.pages.marks import Mark, _Axis
from lut_server.pages.shown_table import ShownTable
from lut_server.storage import overview
from tests.lut_server.analysis.test_comparison import of, side
from tests.support.lut import Lut
from tests.support.scene import NETWORKS, furnish

NOW = datetime(2025, 6, 1, tzinfo=timezone.utc)
HOSTILE = 'x"><script>alert(1)</script>\x00&'


def _parsed(picture: str) -> ElementTree.Element:
    root = ElementTree.fromstring(picture)
    assert root.tag == f"{{{SVG}}}svg"
    assert root.attrib["role"] == "img"
    described = [root.find(f"{{{SVG}}}{tag}") for tag in ("title", "desc")]
    assert [item is not None and bool(item.text) for item in described] == [True, True]
    assert root.attrib["aria-labelledby"].split() == [item.attrib["id"] for item in described if item is not None]
    return root


def _inside(root: ElementTree.Element) -> bool:
    width = float(root.attrib["width"])
    return all(0 <= float(mark.attrib["cx"]) <= width for mark in root.iter(f"{{{SVG}}}circle"))


def test_every_operation_has_its_mark_in_every_panel() -> None:
    sides = [side(of(1)), side(of(1.3, seed=9)), side(of(40, seed=30))]
    root = _parsed(comparison_chart(compare(sides)))
    assert len(list(root.iter(f"{{{SVG}}}circle"))) == 2 * (12 + 1), "12 operations and the mean, in two panels"
    assert _inside(root)
    for phone in (comparison_chart(compare(sides), phone=True), table_chart(sides[0].table, phone=True)):
        narrow = _parsed(phone)
        assert float(narrow.attrib["width"]) <= 360
        assert len(list(narrow.iter(f"{{{SVG}}}circle"))) in (2 * (12 + 1), 12)
        assert _inside(narrow)
    table = _parsed(table_chart(sides[0].table))
    assert len(list(table.iter(f"{{{SVG}}}circle"))) == 12
    assert _inside(table)


def test_the_picture_and_the_page_of_a_table_show_what_sums_are_of() -> None:
    table = side(of(1)).table
    figures = {"normalized_us": 5.0, "normalized_low_us": 4.0, "normalized_high_us": 6.0}
    quiet = table.model_copy(update={"rows": tuple(row.model_copy(update=figures) for row in table.rows)})
    assert "median latency" in table_chart(table)
    assert "latency at quiet speed" in table_chart(quiet)
    assert formatting.latency(5.0) in table_chart(quiet)
    assert not ShownTable.of(table.model_dump_json().encode()).has_quiet
    page = ShownTable.of(quiet.model_dump_json().encode())
    assert page.has_quiet
    shown = [row.shown() for row in page.all_rows]
    assert {row.quiet for row in shown} == {"5.0"}
    assert "5.0" not in {row.median for row in shown}


def test_the_picture_of_a_table_with_itself_still_has_an_axis() -> None:
    one = side(of(1))
    root = _parsed(comparison_chart(compare([one, one])))
    assert any(text.text == "1×" for text in root.iter(f"{{{SVG}}}text"))


def test_a_name_is_text_whatever_it_is() -> None:
    one = side(of(1))
    hostile = one.summary.model_copy(update={"device_name": HOSTILE})
    comparison = compare([Side(hostile, one.table, one.samples_us), Side(hostile, one.table, one.samples_us)])
    root = _parsed(comparison_chart(comparison))
    assert not list(root.iter(f"{{{SVG}}}script"))
    assert HOSTILE.replace("\0", "\ufffd") in (root.findtext(f"{{{SVG}}}title") or "")


@given(st.floats(1e-3, 1e6), st.floats(1.001, 1e6))
@example(7200.0, 2.54)
def test_an_axis_has_a_few_round_ticks_within_it(low: float, factor: float) -> None:
    axis = _Axis.over([Mark(low, low, low * factor, "same", "")], None, 400)
    assert len(axis.ticks) <= MAX_TICKS
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert len(axis.ticks) >= 2
    for tick in axis.ticks:
        assert tick == float(f"{tick:.3g}"), "three digits say it"


def test_near_one_the_ticks_are_even() -> None:
    axis = _Axis.over([Mark(1, 0.93, 1.08, "same", "")], None, 400)
    steps = [round(b - a, 9) for a, b in pairwise(axis.ticks)]
    assert len(set(steps)) == 1
    assert 1.0 in axis.ticks


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formatting.latency(0.5), "0.50 µs"),
        (formatting.latency(12.34), "12.3 µs"),
        (formatting.latency(1234), "1.23 ms"),
        (formatting.latency(2.5e6), "2.50 s"),
        (formatting.one_decimal(1234567.89), "1 234 567.9"),
        (formatting.whole(1234567), "1 234 567"),
        (formatting.ratio(1.234), "1.23×"),
        (formatting.ratio(0.0123), "0.012×"),
        (formatting.ratio(12345), "12 345×"),
        (formatting.interval(Ratio(value=1.2, low=1.1, high=1.3, verdict="slower")), "1.10–1.30×"),
        (formatting.interval(Ratio(value=0.808, low=0.8071, high=0.8092, verdict="faster")), "0.807–0.809×"),
        (formatting.percent(-0.0123, signed=True), "−1.2 %"),
        (formatting.age(59), "59 s"),
        (formatting.age(7200), "2 h"),
        (formatting.age(3 * 86400 + 5), "3 d"),
        (formatting.latency_tick(20000), "20 ms"),
        (formatting.tick(1.25), "1.25×"),
    ],
)
def test_numbers_as_people_read_them(shown: str, expected: str) -> None:
    assert shown.replace(formatting.NARROW, " ") == expected


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_predictions_are_drawn_where_there_are_any(lut: Lut) -> None:
    assert networks_chart([]) is None
    assert lut.http.get("/networks/picture.svg").status_code == 404
    furnish(lut)
    root = _parsed(lut.http.get("/networks/picture.svg").text)
    assert len(list(root.iter(f"{{{SVG}}}circle"))) == 2 * min(NETWORKS + 1, overview.NETWORKS)
    assert "networks/picture.svg" in lut.http.get("/networks").text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_pictures_can_load_nothing_and_pages_nothing_from_elsewhere(lut: Lut) -> None:
    scene = furnish(lut)
    query = f"table={scene.slow.id}&table={scene.fast.id}"
    for path in (f"/tables/{scene.slow.id}/picture.svg", f"/v1/comparisons?{query}&format=svg"):
        picture = lut.http.get(path)
        assert picture.headers["content-type"] == "image/svg+xml"
        assert picture.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
        _parsed(picture.text)
    for path in ("/", "/queue", "/docs", f"/compare?{query}", f"/v1/comparisons?{query}&format=html"):
        policy = lut.http.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "script-src 'self';" in policy
        assert "http" not in policy


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_pages_of_an_empty_server_say_what_to_do_and_refusals_are_pages(lut: Lut) -> None:
    for path, said in (
        ("/", "profiler-agent run"),
        ("/queue", "None."),
        ("/networks", "No network yet"),
        ("/compare", "No table yet"),
    ):
        page = lut.http.get(path)
        assert page.status_code == 200
        assert said in page.text
    for path, status, said in (
        ("/devices/gpu-9", 404, "no such device"),
        ("/tables/01900000-0000-7000-8000-000000000000", 404, "no such table"),
        ("/tables/first", 422, "id=&#39;first&#39;"),
        ("/compare?table=first", 422, "not valid"),
        ("/networks/picture.svg", 404, "no network"),
    ):
        page = lut.http.get(path)
        assert page.status_code == status
        assert page.headers["content-type"].startswith("text/html")
        assert said in page.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_unlike_comparison_is_refused_with_a_way_on(lut: Lut) -> None:
    scene = furnish(lut)
    refused = lut.http.get(f"/compare?table={scene.slow.id}&table={scene.updated.id}")
    assert refused.status_code == 422
    way_on = re.search(r'href="([^"]*allow_unlike=true)"', refused.text)
    assert way_on
    allowed = lut.http.get(str(refused.url.join(html.unescape(way_on.group(1)))))
    assert allowed.status_code == 200
    assert "torch: 2.13.0 against 2.14.0" in allowed.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_picture_of_a_calibration_has_every_network_in_every_panel(lut: Lut) -> None:
    scene = furnish(lut)
    count = NETWORKS + 1
    answer = lut.http.get(f"/v1/tables/{scene.fast.id}/calibration", params={"format": "svg"})
    assert answer.headers["content-type"] == "image/svg+xml"
    root = _parsed(answer.text)
    styles = [mark.attrib["class"] for mark in root.iter(f"{{{SVG}}}circle")]
    assert (styles.count("faster"), styles.count("ambiguous")) == (3 * count, 3 * count), "calibrated and raw"
    assert _inside(root)
    height = float(root.attrib["height"])
    for line in root.iter(f"{{{SVG}}}line"):
        assert all(0 <= float(line.attrib[end]) <= height for end in ("y1", "y2"))
    assert lut.http.get(f"/tables/{scene.fast.id}/calibration.svg").text == answer.text
    page = lut.http.get(f"/v1/tables/{scene.fast.id}/calibration", params={"format": "html"}).text
    assert "Raw sum of the rows" in page
    assert "<svg" in page
    assert lut.http.get(f"/tables/{scene.updated.id}/calibration.svg").status_code == 404


def test_networks_that_are_alike_still_have_axes() -> None:
    """One latency, one size, one depth: no axis has any length of its own."""
    figure = {"mape": 0, "max_rel": 0, "within_5": 1, "within_10": 1, "rmse_us": 0, "tau": None, "rho": None}
    one = {"network": "0" * 64, "measurement_id": uuid6.uuid7(), "operations": 5}
    same = dict.fromkeys(("measured_us", "raw_us", "predicted_us", "low_us", "high_us"), 1e-3)
    calibration = Calibration.model_validate(
        {
            "id": uuid6.uuid7(),
            "created_at": NOW,
            "table_id": uuid6.uuid7(),
            "table_digest": "0" * 64,
            "version": "v",
            "basis": "median_us",
            "coefficients": [{"kind": "conv", "mean": 1, "std": 0}],
            "constant_us": {"kind": "constant", "mean": 0, "std": 0},
            "rows": [{"key": "0" * 64, "isolated_us": 1, "latency_us": 1}],
            "evidence": [{**one, **same}] * 3,
            "card": {
                "networks": 3,
                "raw": figure,
                "affine": None,
                "calibrated": figure,
                "coverage90": 1,
                "measured_at": NOW,
            },
        }
    )
    root = _parsed(calibration_chart(calibration))
    assert _inside(root)
    assert len([item for item in root.iter(f"{{{SVG}}}text") if item.text]) > 12
