"""A network whose cost depends on the input, as people see it."""

import re

import pytest

from tests.lut_server.storage.test_expectations import RATES, nested
from tests.support import truth
from tests.support.factories import report
from tests.support.lut import Lut

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def address(lut: Lut) -> str:
    paths = nested()
    truth.build_table(lut, report())
    truth.measure(lut, report(), [*truth.draw_networks(6, seed=2), *(spec for _, spec, _ in paths)])
    return "/expectation?device=cpu-1&threads=1" + "".join(
        f"&path={rate}:{spec.digest}:{label}" for label, spec, rate in paths
    )


def test_paths_rates_and_the_mean_are_shown(lut: Lut, address: str) -> None:
    page = lut.http.get(address)
    assert page.status_code == 200
    assert "in the mean" in page.text
    for number, rate in enumerate(RATES):
        assert f">exit {number}</a>" in page.text
        assert f">{rate:g}</td>" in page.text
    for link in re.findall(r'href="\./(networks/[^"]+)"', page.text):
        assert lut.http.get(f"/{link}").status_code == 200


def test_the_share_of_inputs_in_time(lut: Lut, address: str) -> None:
    digest = nested()[1][1].digest
    (prediction,) = lut.client.predict([nested()[1][1]], "cpu-1", lut.client.tables()[0].runtime)
    assert prediction.network == digest
    deadline_ms = (prediction.high_us or 0) * 1.0001 / 1000
    assert "80.0\u202f% of inputs" in lut.http.get(f"{address}&deadline_ms={deadline_ms}").text
    picture = lut.http.get(address.replace("?", "/picture.svg?", 1) + f"&deadline_ms={deadline_ms}").text
    assert picture.count('<circle class="faster"') == 2
    assert picture.count('<circle class="slower"') == 1


def test_without_paths_it_says_what_they_are(lut: Lut) -> None:
    assert "path=RATE:NETWORK:LABEL" in lut.http.get("/expectation").text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("path=0.5", "give RATE:NETWORK:LABEL"),
        ("path=0.5:abc:exit", "no such network"),
        ("path=-1:{digest}:exit", "paths.0.rate"),
        ("path=1:{digest}:exit&threads=3", "no table of Xeon"),
        ("path=1:{digest}:exit&threads=1&deadline_ms=soon", "give milliseconds above 0"),
    ],
)
def test_an_address_that_is_none_is_refused(lut: Lut, query: str, words: str) -> None:
    truth.build_table(lut, report())
    spec = truth.draw_networks(1, seed=2)[0]
    truth.measure(lut, report(), [spec])
    page = lut.http.get(
        f"/expectation?device=cpu-1&{query.format(digest=spec.digest)}", headers={"Accept": "text/html"}
    )
    assert page.status_code in (404, 422)
    assert words in page.text
