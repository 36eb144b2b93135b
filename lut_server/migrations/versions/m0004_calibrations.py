"""Calibrations of tables; networks can be found by their space."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NETWORKS = sa.table("networks", sa.column("sequence"), sa.column("body"), sa.column("space"), sa.column("space_digest"))


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "calibrations",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("table_id", sa.Uuid(), nullable=False),
        sa.Column("content_digest", sa.String(length=64), nullable=False),
        sa.Column("evidence", sa.String(length=64), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["table_id"], ["tables.id"], name="fk_calibrations_table_id_tables"),
        sa.PrimaryKeyConstraint("sequence", name="pk_calibrations"),
        sa.UniqueConstraint("id", name="uq_calibrations_id"),
    )
    op.create_index("ix_calibrations_table_id_created_at", "calibrations", ["table_id", "created_at"])

    op.add_column("networks", sa.Column("space", sa.String(length=64)))
    op.add_column("networks", sa.Column("space_digest", sa.String(length=64)))
    database = op.get_bind()
    for sequence, body in database.execute(sa.select(NETWORKS.c.sequence, NETWORKS.c.body)).all():
        network = json.loads(body)
        database.execute(
            sa.update(NETWORKS)
            .where(NETWORKS.c.sequence == sequence)
            .values(space=network["space"], space_digest=network["space_digest"])
        )
    with op.batch_alter_table("networks") as networks:
        networks.alter_column("space", existing_type=sa.String(length=64), nullable=False)
        networks.alter_column("space_digest", existing_type=sa.String(length=64), nullable=False)
    op.create_index("ix_networks_space_space_digest", "networks", ["space", "space_digest"])


def downgrade() -> None:
    op.drop_table("calibrations")
    op.drop_index("ix_networks_space_space_digest", "networks")
    with op.batch_alter_table("networks") as networks:
        networks.drop_column("space_digest")
        networks.drop_column("space")
