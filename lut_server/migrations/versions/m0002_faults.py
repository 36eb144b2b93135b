"""What people meet: who asked and for what, hidden devices, an order of tables that no clock turns, and growth.

Lists and health read columns now instead of whole tables and jobs; the columns are filled from what is stored.
"""

import json
import math
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = sa.table(
    "tables",
    *(sa.column(name) for name in ("sequence", "created_at", "content", "converged", "noisy", "throttled", "doubtful")),
    *(sa.column(name) for name in ("largest_input", "warnings", "rank")),
)
_JOBS = sa.table("jobs", *(sa.column(name) for name in ("sequence", "body", "brief")))


def upgrade() -> None:
    op.add_column("devices", sa.Column("works", sa.Text(), nullable=True))
    op.add_column("devices", sa.Column("hidden", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("devices", sa.Column("measurements", sa.BigInteger(), nullable=False, server_default="0"))
    for name in ("converged", "noisy", "throttled", "doubtful"):
        op.add_column("tables", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("tables", sa.Column("rank", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("tables", sa.Column("imported", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("tables", sa.Column("largest_input", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("tables", sa.Column("warnings", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("tables", sa.Column("requested_by", sa.Text(), nullable=True))
    op.add_column("calibrations", sa.Column("rank", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("brief", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("jobs", sa.Column("requested_by", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("ran_on", sa.String(length=100), nullable=True))
    op.add_column("jobs", sa.Column("started_at", sa.DateTime(timezone=True), nullable=True))
    _fill()
    op.create_index("ix_devices_hidden_heartbeat_at", "devices", ["hidden", "heartbeat_at"])
    op.create_index("ix_tables_device_rank", "tables", ["device", "rank"])
    op.create_index("ix_tables_rank", "tables", ["rank"])
    op.create_index("ix_tables_space_space_digest_runtime", "tables", ["space", "space_digest", "runtime"])
    op.drop_index("ix_calibrations_table_id_created_at", "calibrations")
    op.create_index("ix_calibrations_table_id_rank", "calibrations", ["table_id", "rank"])
    op.create_index("ix_jobs_state_updated_at", "jobs", ["state", "updated_at"])
    op.create_index("ix_leases_job_id", "leases", ["job_id"])
    op.drop_index("ix_measurements_device", "measurements")
    op.drop_index("ix_measurements_job_id", "measurements")
    op.create_index("ix_measurements_device_sequence", "measurements", ["device", "sequence"])
    op.create_index("ix_measurements_job_id_sequence", "measurements", ["job_id", "sequence"])
    op.create_index(
        "ix_measurements_device_environment_runtime_method_version",
        "measurements",
        ["device", "environment", "runtime", "method_version"],
    )


def downgrade() -> None:
    op.drop_index("ix_measurements_device_environment_runtime_method_version", "measurements")
    op.drop_index("ix_measurements_job_id_sequence", "measurements")
    op.drop_index("ix_measurements_device_sequence", "measurements")
    op.create_index("ix_measurements_job_id", "measurements", ["job_id"])
    op.create_index("ix_measurements_device", "measurements", ["device"])
    op.drop_index("ix_leases_job_id", "leases")
    op.drop_index("ix_jobs_state_updated_at", "jobs")
    op.drop_index("ix_calibrations_table_id_rank", "calibrations")
    op.create_index("ix_calibrations_table_id_created_at", "calibrations", ["table_id", "created_at"])
    op.drop_index("ix_tables_space_space_digest_runtime", "tables")
    op.drop_index("ix_tables_rank", "tables")
    op.drop_index("ix_tables_device_rank", "tables")
    op.drop_index("ix_devices_hidden_heartbeat_at", "devices")
    dropped = {
        "jobs": ("started_at", "ran_on", "requested_by", "brief"),
        "calibrations": ("rank",),
        "tables": ("requested_by", "warnings", "largest_input", "imported", "rank"),
        "devices": ("measurements", "hidden", "works"),
    }
    for table, columns in dropped.items():
        for column in columns:
            op.drop_column(table, column)
    for column in ("doubtful", "throttled", "noisy", "converged"):
        op.drop_column("tables", column)


def _fill() -> None:
    """The new columns, from what is stored; one table at a time, since a table may have megabytes."""
    connection = op.get_bind()
    counts = "(SELECT count(*) FROM measurements WHERE measurements.device = devices.uuid)"
    connection.exec_driver_sql(f"UPDATE devices SET measurements = {counts}")
    last = "FROM leases WHERE leases.job_id = jobs.id ORDER BY leases.created_at DESC LIMIT 1"
    connection.exec_driver_sql(
        f"UPDATE jobs SET ran_on = (SELECT device {last}), started_at = (SELECT created_at {last})"
    )
    for sequence in connection.scalars(sa.select(_TABLES.c.sequence)).all():
        content: Any = connection.scalar(sa.select(_TABLES.c.content).where(_TABLES.c.sequence == sequence))
        connection.execute(sa.update(_TABLES).where(_TABLES.c.sequence == sequence).values(_of_table(content)))
    for sequence in connection.scalars(sa.select(_JOBS.c.sequence)).all():
        body: Any = connection.scalar(sa.select(_JOBS.c.body).where(_JOBS.c.sequence == sequence))
        brief = json.dumps(_of_job(json.loads(body)))
        connection.execute(sa.update(_JOBS).where(_JOBS.c.sequence == sequence).values(brief=brief))
    instant = sa.DateTime(timezone=True)
    calibrations = sa.table("calibrations", sa.column("sequence"), sa.column("created_at", instant), sa.column("rank"))
    for sequence, created_at in connection.execute(sa.select(calibrations.c.sequence, calibrations.c.created_at)).all():
        rank = _microseconds(created_at)
        connection.execute(sa.update(calibrations).where(calibrations.c.sequence == sequence).values(rank=rank))


def _of_job(body: dict[str, Any]) -> dict[str, Any]:
    operations, networks = body.get("operations", []), body.get("networks", [])
    shapes = [network["input_shape"] for network in networks]
    shapes += [shape for operation in operations for shape in operation["input_shapes"]]
    return {
        **{name: body[name] for name in ("device", "runtime", "space")},
        "operations": len(operations),
        "networks": len(networks),
        "largest_input": _largest(shapes),
    }


def _of_table(content: bytes) -> dict[str, Any]:
    table = json.loads(content)
    qualities = [row["quality"] for row in table["rows"]]
    doubtful = sum(not q["converged"] or q["noisy"] or q["throttled"] for q in qualities)
    shapes = [shape for row in table["rows"] for shape in row["operation"]["input_shapes"]]
    return {
        **{name: sum(quality[name] for quality in qualities) for name in ("converged", "noisy", "throttled")},
        "doubtful": doubtful,
        "rank": _microseconds(datetime.fromisoformat(table["created_at"].replace("Z", "+00:00"))),
        "largest_input": json.dumps(_largest(shapes)),
        "warnings": json.dumps(table.get("warnings", [])),
    }


def _largest(shapes: list[list[int]]) -> list[int]:
    return max(shapes, key=lambda shape: (math.prod(shape[-2:]) if len(shape) > 2 else 0, math.prod(shape)))


def _microseconds(instant: datetime) -> int:
    aware = instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
    return round(aware.timestamp() * 1_000_000)
