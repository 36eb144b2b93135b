"""Databases for tests: a fresh one each, on SQLite and on a real PostgreSQL that lives as long as the test run.

And one thread for each process.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy.engine import URL

from latency_tables.contract import DeviceReport
from lut_server.app import create_app
from lut_server.storage.database import Database
from tests.support import factories
from tests.support.databases import execute, migrate, postgresql_server
from tests.support.lut import Clock, Lut, serving

TEMPLATE = "lut_template"

# What tests compute is small: further threads would only spin, on cores that other tests need. Holds for what tests
# start, and for this process, which has not imported torch yet.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more about the machine than about the code.
settings.register_profile("lgcnet", deadline=None)
settings.load_profile("lgcnet")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Again where a module before, or a runtime mode that it opened, took more."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs on PostgreSQL starts one. Files that only start processes take longest: they come first."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        if parameters and parameters.params.get("database_url") == "postgresql":
            item.add_marker(pytest.mark.process)
    quick_files = {item.path for item in items if item.get_closest_marker("process") is None}
    items.sort(key=lambda item: (item.path in quick_files, len(item.path.parts)))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[URL]:
    """A PostgreSQL server with one migrated database to copy."""
    with postgresql_server() as url:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # no test cuts the power
            execute(url, f"ALTER SYSTEM SET {setting} = off")
        execute(url, "SELECT pg_reload_conf()")
        execute(url, f"CREATE DATABASE {TEMPLATE}")
        migrate(url.set(database=TEMPLATE))
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    migrate(URL.create("sqlite", database=str(path)))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database; the test runs once on each kind."""
    if request.param == "sqlite":
        path = tmp_path / "lut.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: URL = request.getfixturevalue("postgresql")
    name = f"lut_{abs(hash(tmp_path))}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield server.set(database=name).render_as_string(hide_password=False)
    execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def lut(database_url: str) -> Iterator[Lut]:
    clock = Clock()
    database = Database(database_url)
    with serving(create_app(database, clock)) as url:
        lut = Lut(url, clock)
        yield lut
        lut.client.close()
        lut.http.close()
    database.close()


@pytest.fixture
def device(lut: Lut) -> DeviceReport:
    """One registered device."""
    report = factories.report()
    lut.client.register_device(report)
    return report
