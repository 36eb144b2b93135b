"""A job measures any number of networks: `network` of its request becomes `networks`."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JOBS = sa.table("jobs", sa.column("sequence"), sa.column("body"), sa.column("digest"))


def upgrade() -> None:
    def to_many(request: dict[str, Any]) -> None:
        network = request.pop("network")
        request["networks"] = [] if network is None else [network]

    _rewrite(to_many)


def downgrade() -> None:
    """A job for several networks keeps its first one."""

    def to_one(request: dict[str, Any]) -> None:
        request["network"] = next(iter(request.pop("networks")), None)

    _rewrite(to_one)


def _rewrite(change: Callable[[dict[str, Any]], None]) -> None:
    database = op.get_bind()
    for sequence, body in database.execute(sa.select(JOBS.c.sequence, JOBS.c.body)).all():
        request = json.loads(body)
        change(request)
        text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()
        database.execute(sa.update(JOBS).where(JOBS.c.sequence == sequence).values(body=text, digest=digest))
