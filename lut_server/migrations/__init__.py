"""Schema versions of the database, for Alembic; run from code, so that they work from an installed wheel."""

from argparse import Namespace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from lut_server.storage.database import Database

FOLDER = Path(__file__).parent


class UnknownRevision(Exception):
    """The database has a schema that this code does not know; the message says what to do."""


@cache
def head() -> str | None:
    """The revision that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema up to a revision, in one transaction; other processes doing the same wait.

    Raises:
        UnknownRevision: a newer server made the schema. Nothing was changed.
    """
    with database.schema_connection() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
        if current is not None and current not in known:
            raise UnknownRevision(
                f"a newer lut-server made it (schema {current}, this one knows {head()}). Install that version "
                "again, or restore the backup from before the upgrade (lut-server restore FILE)"
            )
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Take the schema down to a revision ("base" is an empty database), in one transaction."""
    with database.schema_connection() as connection:
        command.downgrade(_config(connection), revision)


def write_new(name: str, folder: Path = FOLDER) -> Path:
    """Write the next migration: how the models differ from the schema. Read it before it is used.

    Compares with an empty SQLite database that it migrates itself.
    """
    with TemporaryDirectory() as temporary:
        database = Database(f"sqlite:///{temporary}/lut.sqlite")
        upgrade(database)
        with database.write_connection() as connection:
            number = f"{int(head() or 0) + 1:04}"
            script = command.revision(_config(connection, folder), name, autogenerate=True, rev_id=number)
        database.close()
    assert isinstance(script, Script)
    return Path(script.path)


def _config(connection: Connection | None = None, folder: Path = FOLDER) -> Config:
    config = Config(cmd_opts=Namespace(quiet=True))
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("file_template", "m%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config
