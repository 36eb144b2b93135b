"""Migrations make the schema that the models describe, and take it down again."""

import re
import shutil
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import uuid6
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from pydantic import TypeAdapter
from sqlalchemy import Column, Integer, String, inspect

from latency_tables.contract import (
    Device,
    DeviceUuid,
    Digest,
    JobState,
    Mode,
    Name,
    Precision,
    Role,
    TokenRequest,
    TransferRequest,
)
from latency_tables.transfer.published import Line, publications
from lut_server.app import create_app
from lut_server.credentials import ServerKey
from lut_server.migrations import FOLDER, downgrade, head, upgrade, write_new
from lut_server.storage import devices, tokens
from lut_server.storage import publications as stored_publications
from lut_server.storage.database import Database
from lut_server.storage.models import Base
from tests.support import truth
from tests.support.factories import CPU, operation, profile, report
from tests.support.lut import Lut, serving


def test_migrations_make_exactly_what_the_models_say(database_url: str) -> None:
    database = Database(database_url)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_up_and_down_with_data(database_url: str, lut: Lut) -> None:
    """One of everything; down to nothing, and up again to a database that works."""
    by = report()
    table = truth.build_table(lut, by)
    specs = truth.draw_networks(3, seed=2)
    truth.measure(lut, by, specs)
    database = Database(database_url)
    upgrade(database)
    assert lut.client.calibration(table.id).card.networks == 3, "an upgrade to where it is changes nothing"
    truth.measure(lut, report("cpu-2", "EPYC"), specs)
    lut.client.make_transfer(
        TransferRequest(device="EPYC", runtime=CPU, space="small", space_digest=specs[0].space_digest)
    )
    published = publications([Line("Nano", "one", 5.0, 1, "a paper", date(2021, 6, 16))], {"one": specs[0]}, {})
    now = datetime.now(timezone.utc)
    with database.write() as session:
        stored_publications.put(session, published[0], specs, now)
        tokens.create(session, uuid6.uuid7(), TokenRequest(name="x", role="agent"), ServerKey.random(), now)
    with database.engine.connect() as connection:
        empty = [name for name in Base.metadata.tables if not connection.exec_driver_sql(f"SELECT 1 FROM {name}").all()]
        assert empty == []
    downgrade(database, "base")
    with database.engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    upgrade(database)
    with database.read() as session:
        assert devices.page(session, None, 10).items == ()
        assert not tokens.any_exist(session)
    with serving(create_app(database, lut.clock)) as url:
        truth.measure(Lut(url, lut.clock), by, specs)
    database.close()


def test_a_filled_table_that_others_refer_to_is_altered(database_url: str, lut: Lut) -> None:
    """SQLite copies it and drops the old one."""
    table = lut.build_table(profile(operation()), report())
    database = Database(database_url)
    with database.schema_connection() as connection:
        operations = Operations(MigrationContext.configure(connection))
        for was, becomes in (("agent", "program"), ("program", "agent")):
            with operations.batch_alter_table("devices") as altered:
                altered.alter_column(was, new_column_name=becomes)
    assert lut.client.table(table.id) == table
    assert lut.client.device("cpu-1").agent == report().agent
    database.close()


def test_the_next_migration_is_written_from_the_models(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    table = Base.metadata.tables["tokens"]
    column: Column[int] = Column("uses", Integer, nullable=True)
    table.append_column(column)
    try:
        path = write_new("count uses", tmp_path / "migrations")
    finally:
        table._columns.remove(column)
    assert path.name == f"m{int(head() or 0) + 1:04}_count_uses.py"
    text = path.read_text()
    assert f"down_revision = {head()!r}" in text
    assert "sa.Column('uses', sa.Integer(), nullable=True)" in text
    assert "drop_column('uses')" in text
    compile(text, str(path), "exec")


def test_every_column_has_room_for_what_the_contract_allows() -> None:
    """SQLite stores a text of any length; PostgreSQL refuses one that is longer than its column."""
    digest, name, uuid, kind = _longest(Digest), _longest(Name), _longest(DeviceUuid), _longest(Device, "kind")
    longest = {
        **dict.fromkeys(
            ("digest", "content_digest", "space_digest", "token_digest", "evidence", "key", "anchor"), digest
        ),
        **dict.fromkeys(("environment", "runtime"), digest),
        **dict.fromkeys(("space", "method_version", "version"), name),
        **dict.fromkeys(("uuid", "device_uuid", "device", "ran_on"), uuid),
        **dict.fromkeys(("kind", "device_kind"), kind),
        "mode": _longest(Mode),
        "precision": _longest(Precision),
        "state": max(_longest(JobState), len("superseded")),
        "role": _longest(Role),
        "key_id": len(ServerKey.random().id),
    }
    for table in Base.metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, String) and column.type.length is not None:
                assert longest[column.name] <= column.type.length, (table.name, column.name)


def _longest(annotation: Any, field: str | None = None) -> int:
    """Length of the longest text that a type of the contract, or a field of it, allows."""
    schema = TypeAdapter(annotation).json_schema()
    schema = schema["properties"][field] if field else schema
    if "enum" in schema:
        return max(map(len, schema["enum"]))
    if "maxLength" in schema:
        return int(schema["maxLength"])
    (length,) = re.findall(r"\{(\d+)\}\$$", schema["pattern"])
    return int(length)
