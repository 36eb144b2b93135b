from datetime import datetime, timezone

import uuid6
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from latency_tables.contract import NewToken, TokenRequest
from lut_server.credentials import ServerKey
from lut_server.migrations import downgrade, upgrade
from lut_server.storage import devices, jobs, tokens
from lut_server.storage.database import Database
from lut_server.storage.models import Base
from tests.support import truth
from tests.support.factories import end_to_end, network, operation, profile, report
from tests.support.lut import Lut


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


def test_a_job_for_a_network_survives_down_and_up(database_url: str) -> None:
    database = Database(database_url)
    asked = {uuid6.uuid7(): profile(operation(8)), uuid6.uuid7(): end_to_end(network(operation(8)))}
    with database.write() as session:
        for id, request in asked.items():
            jobs.submit(session, id, request, datetime.now(timezone.utc))
    downgrade(database, "0002")
    upgrade(database)
    with database.write() as session:
        for id, request in asked.items():
            assert jobs.submit(session, id, request, datetime.now(timezone.utc)).request == request, "the same digest"
    database.close()


def test_a_calibrated_database_survives_down_and_up(database_url: str, lut: Lut) -> None:
    """Calibrations are gone then; they come back with the next network."""
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(4, seed=2)
    truth.measure(lut, by, specs[:3])
    assert lut.client.calibration(table.id).card.networks == 3
    database = Database(database_url)
    downgrade(database, "0003")
    upgrade(database)
    database.close()
    assert {record.id for record in lut.client.networks()} == {spec.digest for spec in specs[:3]}
    assert lut.client.calibrations() == []
    truth.measure(lut, by, specs[3:])
    assert lut.client.calibration(table.id).card.networks == 4


def _make_token(database: Database) -> NewToken:
    request = TokenRequest(name="x", role="agent", device="cpu-1")
    with database.write() as session:
        return tokens.create(session, uuid6.uuid7(), request, ServerKey.random(), datetime.now(timezone.utc))
