"""Whether the server can serve: the schema is the one that this code needs, and the database can be written."""

import threading
import time

from alembic.migration import MigrationContext
from sqlalchemy import text

from lut_server.errors import NotReady
from lut_server.migrations import head
from lut_server.storage.database import Database

FRESH_FOR_S = 1.0


class Readiness:
    """A probe of the database, at most once a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._good_until = 0.0

    def check(self) -> None:
        """Return when ready.

        Raises:
            NotReady: the schema is not the one that this code needs.
            SQLAlchemyError: the database cannot be written.
        """
        with self._lock:
            if time.monotonic() < self._good_until:
                return
            with self._database.write_connection() as connection:
                current, needed = MigrationContext.configure(connection).get_current_revision(), head()
                if current != needed:
                    raise NotReady(f"the schema is {current}, this server needs {needed}; run lut-server migrate")
                connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
            self._good_until = time.monotonic() + FRESH_FOR_S
