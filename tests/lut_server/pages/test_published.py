"""The page of the published networks."""

import re
from xml.etree import ElementTree

from latency_tables.contract import Runtime
from lut_server.pages.drawing import SVG
from published_networks.plugin import operation, space
from tests.support.factories import report
from tests.support.lut import Lut


def test_measured_networks_are_drawn_and_listed_beside_published_figures(lut: Lut) -> None:
    empty = lut.http.get("/published")
    assert empty.status_code == 200
    assert "Nothing of it is measured yet" in empty.text
    assert lut.http.get("/published/Cityscapes/picture.svg").status_code == 404

    by = report("published-cpu", "Published CPU")
    operations = [operation("fast-scnn", 1024, 2048), operation("icnet", 1024, 2048)]
    request = space.request(operations, by.device.uuid, Runtime(threads=1))
    table = lut.build_table(request, by, median_us=200_000)

    text = lut.http.get("/published").text
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in re.findall(r"<tr>.*?</tr>", text, re.S)]
    measured = [row for row in rows if "5.00" in row]
    assert [row[0] for row in measured] == ["ICNet", "Fast-SCNN"]
    assert "123.5," in measured[1]
    assert f"/published?table={table.id}" in text
    assert "/published/CamVid/picture.svg" not in text, "nothing of CamVid is measured"
    for phone, width in (("false", 1000), ("true", 360)):
        picture = lut.http.get(f"/published/Cityscapes/picture.svg?table={table.id}&phone={phone}")
        root = ElementTree.fromstring(picture.text)
        circles = list(root.iter(f"{{{SVG}}}circle"))
        assert len(circles) == 4, "two networks, measured and published"
        assert all(0 <= float(circle.attrib["cx"]) <= width for circle in circles)
    assert lut.http.get("/published/ADE20K/picture.svg").status_code == 422
