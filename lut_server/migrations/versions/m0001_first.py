"""The schema as it is first released."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "environments",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_environments"),
    )
    op.create_table(
        "networks",
        sa.Column("sequence", sequence, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("space", sa.String(length=64), nullable=False),
        sa.Column("space_digest", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("name", sa.Text()),
        sa.PrimaryKeyConstraint("sequence", name="pk_networks"),
        sa.UniqueConstraint("digest", name="uq_networks_digest"),
    )
    op.create_index("ix_networks_space_space_digest", "networks", ["space", "space_digest"])
    op.create_table(
        "operations",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("space", sa.String(length=64), nullable=False),
        sa.Column("space_digest", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_operations"),
    )
    op.create_index("ix_operations_space_space_digest", "operations", ["space", "space_digest"])
    op.create_table(
        "devices",
        sa.Column("uuid", sa.String(length=100), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("folded_name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("first_seen", instant, nullable=False),
        sa.Column("heartbeat_at", instant, nullable=False),
        sa.Column("works", sa.Text()),
        sa.Column("hidden", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("measurements", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["environment"], ["environments.digest"], name="fk_devices_environment_environments"),
        sa.PrimaryKeyConstraint("uuid", name="pk_devices"),
    )
    op.create_index("ix_devices_hidden_heartbeat_at", "devices", ["hidden", "heartbeat_at"])
    op.create_table(
        "tables",
        sa.Column("sequence", sequence, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("content_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("device", sa.String(length=100), nullable=False),
        sa.Column("device_name", sa.Text(), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("runtime", sa.String(length=64), nullable=False),
        sa.Column("mode", sa.String(length=64), nullable=False),
        sa.Column("precision", sa.String(length=64), nullable=False),
        sa.Column("batch_size", sa.Integer(), nullable=False),
        sa.Column("threads", sa.Integer()),
        sa.Column("method_version", sa.String(length=64), nullable=False),
        sa.Column("space", sa.String(length=64), nullable=False),
        sa.Column("space_digest", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("imported", sa.Boolean(), nullable=False),
        sa.Column("converged", sa.Integer(), nullable=False),
        sa.Column("noisy", sa.Integer(), nullable=False),
        sa.Column("throttled", sa.Integer(), nullable=False),
        sa.Column("doubtful", sa.Integer(), nullable=False),
        sa.Column("largest_input", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text()),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.uuid"], name="fk_tables_device_devices"),
        sa.ForeignKeyConstraint(["environment"], ["environments.digest"], name="fk_tables_environment_environments"),
        sa.PrimaryKeyConstraint("sequence", name="pk_tables"),
        sa.UniqueConstraint("id", name="uq_tables_id"),
    )
    op.create_index("ix_tables_device_space_runtime", "tables", ["device", "space", "runtime"])
    op.create_index("ix_tables_device_rank", "tables", ["device", "rank"])
    op.create_index("ix_tables_rank", "tables", ["rank"])
    op.create_index("ix_tables_space_space_digest_runtime", "tables", ["space", "space_digest", "runtime"])
    op.create_table(
        "calibrations",
        sa.Column("sequence", sequence, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("table_id", sa.Uuid(), nullable=False),
        sa.Column("content_digest", sa.String(length=64), nullable=False),
        sa.Column("evidence", sa.String(length=64), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["table_id"], ["tables.id"], name="fk_calibrations_table_id_tables"),
        sa.PrimaryKeyConstraint("sequence", name="pk_calibrations"),
        sa.UniqueConstraint("id", name="uq_calibrations_id"),
    )
    op.create_index("ix_calibrations_table_id_rank", "calibrations", ["table_id", "rank"])
    op.create_table(
        "publications",
        sa.Column("sequence", sequence, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("content_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("space", sa.String(length=64), nullable=False),
        sa.Column("space_digest", sa.String(length=64), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_publications"),
        sa.UniqueConstraint("content_digest", name="uq_publications_content_digest"),
        sa.UniqueConstraint("id", name="uq_publications_id"),
    )
    op.create_index("ix_publications_space_space_digest", "publications", ["space", "space_digest"])
    op.create_table(
        "transfers",
        sa.Column("sequence", sequence, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("content_digest", sa.String(length=64), nullable=False),
        sa.Column("evidence", sa.String(length=64), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("device", sa.String(length=100), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("runtime", sa.String(length=64), nullable=False),
        sa.Column("space", sa.String(length=64), nullable=False),
        sa.Column("space_digest", sa.String(length=64), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.uuid"], name="fk_transfers_device_devices"),
        sa.ForeignKeyConstraint(["environment"], ["environments.digest"], name="fk_transfers_environment_environments"),
        sa.PrimaryKeyConstraint("sequence", name="pk_transfers"),
        sa.UniqueConstraint("id", name="uq_transfers_id"),
    )
    op.create_index("ix_transfers_device_space_runtime", "transfers", ["device", "space", "runtime"])
    op.create_table(
        "jobs",
        sa.Column("sequence", sequence, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("brief", sa.Text(), nullable=False),
        sa.Column("device_uuid", sa.String(length=100)),
        sa.Column("device_name", sa.Text()),
        sa.Column("device_kind", sa.String(length=64)),
        sa.Column("runtime", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("table_id", sa.Uuid()),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("updated_at", instant, nullable=False),
        sa.Column("requested_by", sa.Text()),
        sa.Column("ran_on", sa.String(length=100)),
        sa.Column("started_at", instant),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["table_id"], ["tables.id"], name="fk_jobs_table_id_tables"),
        sa.PrimaryKeyConstraint("sequence", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
    )
    op.create_index("ix_jobs_state_sequence", "jobs", ["state", "sequence"])
    op.create_index("ix_jobs_state_updated_at", "jobs", ["state", "updated_at"])
    op.create_index("ix_jobs_ran_on_runtime_sequence", "jobs", ["ran_on", "runtime", "sequence"])
    op.create_table(
        "job_keys",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_keys_job_id_jobs"),
        sa.PrimaryKeyConstraint("job_id", "key", name="pk_job_keys"),
    )
    op.create_table(
        "leases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("device", sa.String(length=100), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("method_version", sa.String(length=64), nullable=False),
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("completion", sa.Text()),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("expires_at", instant, nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.uuid"], name="fk_leases_device_devices"),
        sa.ForeignKeyConstraint(["environment"], ["environments.digest"], name="fk_leases_environment_environments"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_leases_job_id_jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
    )
    op.create_index("ix_leases_state_expires_at", "leases", ["state", "expires_at"])
    op.create_index("ix_leases_job_id", "leases", ["job_id"])
    op.create_index(
        "uq_leases_active_device",
        "leases",
        ["device"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_index(
        "uq_leases_active_job",
        "leases",
        ["job_id"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "measurements",
        sa.Column("sequence", sequence, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=100), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("runtime", sa.String(length=64), nullable=False),
        sa.Column("method_version", sa.String(length=64), nullable=False),
        sa.Column("anchor", sa.String(length=64)),
        sa.Column("standard_us", sa.Double()),
        sa.Column("sound", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("received_at", instant, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["devices.uuid"], name="fk_measurements_device_devices"),
        sa.ForeignKeyConstraint(
            ["environment"], ["environments.digest"], name="fk_measurements_environment_environments"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_measurements_job_id_jobs"),
        sa.PrimaryKeyConstraint("sequence", name="pk_measurements"),
        sa.UniqueConstraint("id", name="uq_measurements_id"),
    )
    op.create_index(
        "ix_measurements_conditions", "measurements", ["key", "device", "environment", "runtime", "method_version"]
    )
    op.create_index("ix_measurements_device_sequence", "measurements", ["device", "sequence"])
    op.create_index(
        "ix_measurements_device_environment_runtime_method_version",
        "measurements",
        ["device", "environment", "runtime", "method_version"],
    )
    op.create_index("ix_measurements_job_id_sequence", "measurements", ["job_id", "sequence"])
    op.create_index(
        "ix_measurements_standard",
        "measurements",
        ["device", "anchor", "environment", "runtime", "method_version", "standard_us"],
        sqlite_where=sa.text("anchor IS NOT NULL"),
        postgresql_where=sa.text("anchor IS NOT NULL"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=100)),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("expires_at", instant),
        sa.Column("last_used_at", instant),
        sa.Column("revoked_at", instant),
        sa.Column("replaced_by", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )


def downgrade() -> None:
    for table in (
        "tokens",
        "measurements",
        "leases",
        "job_keys",
        "jobs",
        "transfers",
        "publications",
        "calibrations",
        "tables",
        "devices",
        "operations",
        "networks",
        "environments",
    ):
        op.drop_table(table)
