"""Schema versions of the database, for Alembic; run from code, so that they work from an installed wheel."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from lut_server.storage.database import Database


@cache
def head() -> str | None:
    """The revision that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema up to a revision, in one transaction; other processes doing the same wait."""
    with database.write_connection() as connection:
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Take the schema down to a revision ("base" is an empty database), in one transaction."""
    with database.write_connection() as connection:
        command.downgrade(_config(connection), revision)
