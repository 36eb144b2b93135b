"""A noun is one route file: it declares what gate, application and docs page need."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from lut_server import routes
from lut_server.nouns import MIB, Noun, collect

MakePackage = Callable[..., ModuleType]


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePackage:
    """A package of route files, given by name and text."""

    def make(**files: str) -> ModuleType:
        folder = tmp_path / "some_routes"
        folder.mkdir()
        for name, text in {"__init__": "", **files}.items():
            (folder / f"{name}.py").write_text(
                f"from fastapi import APIRouter\nfrom lut_server.nouns import Noun\n{text}"
            )
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("some_routes", *(f"some_routes.{name}" for name in files)):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return import_module("some_routes")

    return make


def test_a_new_route_file_is_found_and_has_the_least_rights_by_default(make_package: MakePackage) -> None:
    package = make_package(
        late='NOUN = Noun("late", order=2)\nrouter = APIRouter()',
        early='NOUN = Noun("early", order=1)\nrouter = APIRouter()',
        shared="MAX = 3",
    )
    nouns = list(collect(package))
    assert nouns == [Noun("early", order=1), Noun("late", order=2)]
    assert (nouns[0].read, nouns[0].write, nouns[0].max_bytes, nouns[0].of_device) == ("read", "admin", MIB // 4, False)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"one": "router = APIRouter()"}, r"some_routes\.one: .*declares its noun"),
        ({"one": 'NOUN = "jobs"\nrouter = APIRouter()'}, r"some_routes\.one: .*declares its noun"),
        (
            {"one": 'NOUN = Noun("jobs")\nrouter = APIRouter()', "two": 'NOUN = Noun("jobs")\nrouter = APIRouter()'},
            r"some_routes\.two: .*'jobs' is declared by another",
        ),
    ],
)
def test_a_route_file_without_its_noun_is_an_error_at_start(
    make_package: MakePackage, files: dict[str, str], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        collect(make_package(**files))


def test_a_noun_stands_at_its_own_path() -> None:
    for noun, router in collect(routes).items():
        if noun.prefix:
            assert noun.tag
            paths = [getattr(route, "path", "") for route in router.routes]
            assert any(path.split("/")[1] == noun.name for path in paths), f"the gate finds no {noun.name} by its path"
