"""What Alembic runs: migrate on the connection that the caller holds, inside the caller's transaction."""

from alembic import context
from sqlalchemy import Connection, text

from lut_server.storage.models import Base

MIGRATION_LOCK = 0x4C5554  # any number that nothing else in the database uses


def run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
