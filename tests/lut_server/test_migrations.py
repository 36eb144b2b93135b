from datetime import datetime, timezone

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from lut_server.database import Database
from lut_server.migrations import downgrade, upgrade
from lut_server.models import Base
from lut_server.storage import devices
from tests.lut_server.factories import report


def test_migrations_make_exactly_what_the_models_say(database_url: str) -> None:
    database = Database(database_url)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_up_and_down_with_data(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as session:
        devices.register(session, report(), datetime.now(timezone.utc))
    upgrade(database)
    with database.read() as session:
        assert devices.get(session, "cpu-1").device == report().device, "an upgrade to where it is changes nothing"
    downgrade(database, "base")
    with database.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    upgrade(database)
    with database.read() as session:
        assert devices.page(session, None, 10).items == ()
    database.close()
