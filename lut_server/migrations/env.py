"""What Alembic runs: migrate on the connection that the caller holds, inside the caller's transaction."""

from typing import Literal

from alembic import context
from sqlalchemy import Connection, text

from lut_server.storage.models import Base, UtcDateTime

MIGRATION_LOCK = 0x4C5554  # any number that nothing else in the database uses


def _render(kind: str, item: object, context: object) -> str | Literal[False]:  # noqa: ARG001
    """Migrations import nothing of the server, whose types may change later."""
    return "sa.DateTime(timezone=True)" if isinstance(item, UtcDateTime) else False


def run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        render_as_batch=True,  # SQLite alters no column: new migrations copy its table
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
