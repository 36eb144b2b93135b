"""One database, SQLite or PostgreSQL: connections, the only commit, and the meaning of its failures."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from lut_server.storage.models import Base

BUSY_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 5
POOL_SIZE = 10
MAX_OVERFLOW = 30
THREADS = 24  # that use the database at once; the rest of the connections is for reading tables
READ_THREADS = 8
ROWS_AT_ONCE = 50
KEYS_PER_QUERY = 500


class Database:
    """Sessions on one database. `read` never commits; `write` commits when its block ends without an exception."""

    def __init__(self, url: URL | str) -> None:
        self.engine = _engine(make_url(url))
        # A deferred transaction that reads and then writes fails at once if another one wrote meanwhile.
        self._write_engine = self.engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        self._info: dict[Any, Any] = {"memories": {}}
        # SQLite takes one writer and lets the others sleep and try again; here they wait in line.
        self._turn = threading.Lock() if self.engine.dialect.name == "sqlite" else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self.engine, info=self._info) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        with self._turn, Session(self._write_engine, info=self._info) as session, session.begin():
            yield session

    @contextmanager
    def write_connection(self) -> Iterator[Connection]:
        """A Connection in a transaction that writes."""
        with self._turn, self._write_engine.begin() as connection:
            yield connection

    @contextmanager
    def schema_connection(self) -> Iterator[Connection]:
        """A Connection in a transaction that changes the schema.

        SQLite copies a table to alter it, and drops the old one, which other tables refer to: so their references are
        checked when all is done, not meanwhile.
        """
        with self._write_engine.connect() as connection:
            if self.engine.dialect.name != "sqlite":
                with connection.begin():
                    yield connection
                return
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA foreign_keys=OFF").close()  # inside a transaction it would do nothing
            try:
                with connection.begin():
                    yield connection
                    if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                        raise IntegrityError("PRAGMA foreign_key_check", None, ValueError("a reference is broken"))
            finally:
                raw.execute("PRAGMA foreign_keys=ON").close()

    def close(self) -> None:
        self.engine.dispose()


def make_private(path: Path) -> None:
    """Make an empty database file that only its owner may read, if there is none. SQLite would take the umask's mode;
    its -wal and -shm files get the mode of the database.

    Raises:
        OSError: the file cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def select_in(session: Session, query: Any, column: Any, keys: Iterable[Any]) -> Iterator[Any]:
    """Rows of a `select` whose column is one of the keys, in no order; read in parts of KEYS_PER_QUERY."""
    remaining = iter(keys)
    while part := list(islice(remaining, KEYS_PER_QUERY)):
        yield from session.execute(query.where(column.in_(part)))


def insert_missing(session: Session, model: type[Base], rows: Sequence[dict[str, Any]]) -> int:
    """Insert the rows whose key is not there yet; how many were inserted.

    Sort them, so that two inserts cannot deadlock. SQL by hand, because storing measurements is to reach half of the
    rows per second of a bare executemany (`python -m benchmarks.ingest`; docs/results.md: 0.50). In SQLAlchemy's words
    it is `session.execute(insert(model).on_conflict_do_nothing(), rows)`.
    """
    if not rows:
        return 0
    connection = session.connection()
    names = tuple(rows[0])
    columns = [
        list(map(bind, (row[name] for row in rows))) if bind else [row[name] for row in rows]
        for name, bind in _binds(model, names, connection.dialect)
    ]
    values = list(zip(*columns, strict=True))
    # Many rows in one statement: a driver's executemany hands the interpreter over to another thread at every row.
    whole = len(values) - len(values) % ROWS_AT_ONCE
    inserted = 0
    for start in range(0, whole, ROWS_AT_ONCE):
        part = tuple(chain.from_iterable(values[start : start + ROWS_AT_ONCE]))
        inserted += connection.exec_driver_sql(_insert(model, names, connection.dialect, ROWS_AT_ONCE), part).rowcount
    if rest := values[whole:]:
        statement = _insert(model, names, connection.dialect, 1)
        inserted += connection.exec_driver_sql(statement, rest, {"preserve_rowcount": True}).rowcount
    return inserted


@lru_cache(maxsize=64)
def _insert(model: type[Base], names: tuple[str, ...], dialect: Dialect, rows: int) -> str:
    marks = ", ".join(["?" if dialect.name == "sqlite" else "%s"] * len(names))
    many = ", ".join([f"({marks})"] * rows)
    return f"INSERT INTO {model.__tablename__} ({', '.join(names)}) VALUES {many} ON CONFLICT DO NOTHING"


@lru_cache(maxsize=64)
def _binds(
    model: type[Base], names: tuple[str, ...], dialect: Dialect
) -> list[tuple[str, Callable[[Any], Any] | None]]:
    """For each column what turns a value into the one for the driver (None: nothing)."""
    types = [model.__table__.c[name].type.dialect_impl(dialect) for name in names]
    return [(name, kind.bind_processor(dialect)) for name, kind in zip(names, types, strict=True)]


def unavailable(error: Exception) -> str | None:
    """Why the database cannot serve at the moment, or None if the error is something else."""
    if isinstance(error, PoolTimeout):
        return "every connection to the database is in use"
    if not isinstance(error, DBAPIError):
        return None
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return next((why for prefix, why in _POSTGRESQL.items() if state.startswith(prefix)), None)
    message = str(error.orig).lower()
    if error.connection_invalidated:
        return "the connection to the database was lost"
    return next((why for part, why in _IN_MESSAGE.items() if part in message), None)


_POSTGRESQL = {
    "08": "the connection to the database was lost",
    "23505": "another request stored the same id at this moment",
    "25006": "the database is read-only",
    "40": "another request was writing the same rows",
    "53100": "the disk of the database is full; free some space",
    "53": "the database has no room for another connection or query",
    "55P03": "the database is busy",
    "57P": "the database is shutting down or starting",
}
_IN_MESSAGE = {
    "database is locked": "the database is busy",
    "database or disk is full": "the disk of the database is full; free some space",
    "disk i/o error": "the disk of the database refuses to write; is it full?",
    "readonly database": "the database is read-only",
    "unable to open database file": "the database file cannot be opened",
    "connection": "the database cannot be reached",  # psycopg, while it connects
}


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(
            url,
            pool_size=POOL_SIZE,
            max_overflow=MAX_OVERFLOW,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )
    engine = create_engine(
        url, pool_size=POOL_SIZE, max_overflow=MAX_OVERFLOW, connect_args={"timeout": BUSY_TIMEOUT_S}
    )

    @event.listens_for(engine, "do_connect")
    def _make_private(*_: object) -> None:
        with suppress(OSError):  # SQLite says better why it cannot open a file
            make_private(Path(url.database or ""))

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: object) -> None:  # noqa: ARG001
        connection.isolation_level = None  # the driver begins nothing by itself: _begin does
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))

    return engine
