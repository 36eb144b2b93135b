"""Whether the server can serve: its schema is the one that this code knows, and the database takes a write."""

import threading
import time

from alembic.migration import MigrationContext
from sqlalchemy import text

from lut_server.errors import NotReady
from lut_server.migrations import head
from lut_server.storage.database import Database

FRESH_FOR_S = 1.0


class Readiness:
    """Probes at most once a second, however often it is asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._good_until = 0.0

    def check(self) -> None:
        """Return when ready.

        Raises:
            NotReady: the schema is another one than this code knows.
            SQLAlchemyError: the database cannot be written.
        """
        with self._lock:
            if time.monotonic() < self._good_until:
                return
            with self._database.write_connection() as connection:
                found, wanted = MigrationContext.configure(connection).get_current_revision(), head()
                if found != wanted:
                    raise NotReady(f"the schema is {found}, this server needs {wanted}; run lut-server migrate")
                connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
            self._good_until = time.monotonic() + FRESH_FOR_S
