import re
from typing import Any

import pytest

from tests.lut_server.conftest import Lut

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def _operations(lut: Lut) -> list[tuple[str, str, dict[str, Any]]]:
    paths = lut.http.get("/openapi.json").json()["paths"]
    return [(path, method, operation) for path, methods in paths.items() for method, operation in methods.items()]


def test_every_operation_says_what_it_does_and_how_it_fails(lut: Lut) -> None:
    operations = _operations(lut)
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)
    for path, method, operation in operations:
        assert operation["summary"], (path, method)
        assert len(operation["tags"]) == 1
        refused = {status: answer for status, answer in operation["responses"].items() if status[0] == "4"}
        assert refused or path in ("/healthz", "/readyz", "/metrics"), (path, method)
        for answer in refused.values():
            assert list(answer["content"]) == ["application/problem+json"], (path, method)
    assert "Problem" in lut.http.get("/openapi.json").json()["components"]["schemas"]


def test_nouns_stand_in_reading_order_with_a_sentence_each(lut: Lut) -> None:
    tags = lut.http.get("/openapi.json").json()["tags"]
    used = {operation["tags"][0] for _, _, operation in _operations(lut)}
    assert {tag["name"] for tag in tags} == used
    assert all(tag["description"] for tag in tags)
    assert [tag["name"] for tag in tags][:5] == ["devices", "jobs", "leases", "measurements", "tables"]


def test_the_docs_page_needs_no_internet(lut: Lut) -> None:
    for page in ("/docs", "/redoc"):
        html = lut.http.get(page).text
        sources = re.findall(r'(?:src|href)="([^"]+)"', html)
        assert sources
        for source in sources:
            assert source.startswith("/"), f"{page} loads {source}"
            assert lut.http.get(source).status_code == 200, source
