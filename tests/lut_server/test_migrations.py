from datetime import datetime, timezone

import uuid6
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from lut_server.credentials import ServerKey
from lut_server.database import Database
from lut_server.migrations import downgrade, upgrade
from lut_server.models import Base
from lut_server.schemas import NewToken, TokenRequest
from lut_server.storage import devices, tokens
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
    made = _make_token(database)
    downgrade(database, "0001")
    upgrade(database)
    with database.read() as session:
        assert devices.get(session, "cpu-1").device == report().device, "only the tokens are gone"
        assert not tokens.any_exist(session)
    assert _make_token(database).token != made.token
    downgrade(database, "base")
    with database.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    upgrade(database)
    with database.read() as session:
        assert devices.page(session, None, 10).items == ()
    database.close()


def _make_token(database: Database) -> NewToken:
    request = TokenRequest(name="x", role="agent", device="cpu-1")
    with database.write() as session:
        return tokens.create(session, uuid6.uuid7(), request, ServerKey.random(), datetime.now(timezone.utc))
