"""The tables of the database. Contract objects are kept as canonical JSON beside the columns that queries need."""

from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    Uuid,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

Digest = String(64)
DeviceUuid = String(100)
Word = String(64)
"""A name, a version, or one of the values that the contract lists."""
Sequence = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER PRIMARY KEY only


class UtcDateTime(TypeDecorator[datetime]):
    """Aware instants; SQLite has no time zones, so they are UTC there."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(timezone.utc) if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        instant: datetime = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return instant.astimezone(timezone.utc)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcDateTime, UUID: Uuid, str: Text}  # noqa: RUF012
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class EnvironmentRow(Base):
    __tablename__ = "environments"

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    body: Mapped[str]


class DeviceRow(Base):
    """`folded_name` is what names are compared by (str.casefold): lower() of SQLite knows ASCII only.

    `works` is the JSON of what its agent found to work. `measurements` counts those stored, so that nobody counts rows.
    """

    __tablename__ = "devices"
    __table_args__ = (Index(None, "hidden", "heartbeat_at"),)

    uuid: Mapped[str] = mapped_column(DeviceUuid, primary_key=True)
    name: Mapped[str]
    folded_name: Mapped[str]
    kind: Mapped[str] = mapped_column(Word)
    body: Mapped[str]
    environment: Mapped[str] = mapped_column(ForeignKey(EnvironmentRow.digest))
    agent: Mapped[str]
    first_seen: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    works: Mapped[str | None]
    hidden: Mapped[bool] = mapped_column(server_default=false())
    measurements: Mapped[int] = mapped_column(BigInteger, server_default="0")


class OperationRow(Base):
    __tablename__ = "operations"
    __table_args__ = (Index(None, "space", "space_digest"),)

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    space: Mapped[str] = mapped_column(Word)
    space_digest: Mapped[str] = mapped_column(Digest)
    body: Mapped[str]


class NetworkRow(Base):
    __tablename__ = "networks"
    __table_args__ = (Index(None, "space", "space_digest"),)

    sequence: Mapped[int] = mapped_column(Sequence, primary_key=True)
    digest: Mapped[str] = mapped_column(Digest, unique=True)
    space: Mapped[str] = mapped_column(Word)
    space_digest: Mapped[str] = mapped_column(Digest)
    body: Mapped[str]
    created_at: Mapped[datetime]
    name: Mapped[str | None]


class LatencyTableRow(Base):
    """An immutable table; `content` is its JSON as it goes out.

    `rank` orders the tables: the newest has the largest. It is the time of building in microseconds, but a table that
    was built here is never older than what was built here before it, whatever the clock said meanwhile. `converged`,
    `noisy`, `throttled` and `doubtful` count rows. `largest_input` and `warnings` are JSON.
    """

    __tablename__ = "tables"
    __table_args__ = (
        Index(None, "device", "space", "runtime"),
        Index(None, "device", "rank"),
        Index(None, "rank"),
        Index(None, "space", "space_digest", "runtime"),
    )

    sequence: Mapped[int] = mapped_column(Sequence, primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    content_digest: Mapped[str] = mapped_column(Digest)
    created_at: Mapped[datetime]
    device: Mapped[str] = mapped_column(ForeignKey(DeviceRow.uuid))
    device_name: Mapped[str]
    environment: Mapped[str] = mapped_column(ForeignKey(EnvironmentRow.digest))
    runtime: Mapped[str] = mapped_column(Digest)
    mode: Mapped[str] = mapped_column(Word)
    precision: Mapped[str] = mapped_column(Word)
    batch_size: Mapped[int]
    threads: Mapped[int | None]
    method_version: Mapped[str] = mapped_column(Word)
    space: Mapped[str] = mapped_column(Word)
    space_digest: Mapped[str] = mapped_column(Digest)
    rows: Mapped[int]
    rank: Mapped[int] = mapped_column(BigInteger)
    imported: Mapped[bool]
    converged: Mapped[int]
    noisy: Mapped[int]
    throttled: Mapped[int]
    doubtful: Mapped[int]
    largest_input: Mapped[str]
    warnings: Mapped[str]
    requested_by: Mapped[str | None]
    content: Mapped[bytes] = mapped_column(deferred=True)


class CalibrationRow(Base):
    """An immutable calibration; `evidence` is the digest of what it was made from, `content` its JSON.

    `rank` orders those of a table as it does tables.
    """

    __tablename__ = "calibrations"
    __table_args__ = (Index(None, "table_id", "rank"),)

    sequence: Mapped[int] = mapped_column(Sequence, primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    table_id: Mapped[UUID] = mapped_column(ForeignKey(LatencyTableRow.id))
    content_digest: Mapped[str] = mapped_column(Digest)
    evidence: Mapped[str] = mapped_column(Digest)
    created_at: Mapped[datetime]
    rank: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[str] = mapped_column(Word)
    card: Mapped[str]
    content: Mapped[bytes] = mapped_column(deferred=True)


class PublicationRow(Base):
    """Immutable; `content` is its JSON."""

    __tablename__ = "publications"
    __table_args__ = (Index(None, "space", "space_digest"),)

    sequence: Mapped[int] = mapped_column(Sequence, primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    content_digest: Mapped[str] = mapped_column(Digest, unique=True)
    created_at: Mapped[datetime]
    space: Mapped[str] = mapped_column(Word)
    space_digest: Mapped[str] = mapped_column(Digest)
    summary: Mapped[str]
    content: Mapped[bytes] = mapped_column(deferred=True)


class TransferRow(Base):
    """An immutable transfer; `evidence` is the digest of what it was made from, `content` its JSON."""

    __tablename__ = "transfers"
    __table_args__ = (Index(None, "device", "space", "runtime"),)

    sequence: Mapped[int] = mapped_column(Sequence, primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    content_digest: Mapped[str] = mapped_column(Digest)
    evidence: Mapped[str] = mapped_column(Digest)
    created_at: Mapped[datetime]
    device: Mapped[str] = mapped_column(ForeignKey(DeviceRow.uuid))
    environment: Mapped[str] = mapped_column(ForeignKey(EnvironmentRow.digest))
    runtime: Mapped[str] = mapped_column(Digest)
    space: Mapped[str] = mapped_column(Word)
    space_digest: Mapped[str] = mapped_column(Digest)
    summary: Mapped[str]
    content: Mapped[bytes] = mapped_column(deferred=True)


class JobRow(Base):
    """`device_name` is folded as that of a device; `body` has it as it was given.

    `brief` is a JobBrief as JSON: lists read it instead of `body`, which may have megabytes. `ran_on` is the device
    that leased it last, `started_at` when it did, and `missing` the keys that were to be measured then (until then:
    when it was queued; once it is done: those that it has measured since).
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "state", "sequence"),
        Index(None, "state", "updated_at"),
        Index(None, "ran_on", "runtime", "sequence"),
    )

    sequence: Mapped[int] = mapped_column(Sequence, primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    digest: Mapped[str] = mapped_column(Digest)
    body: Mapped[str] = mapped_column(deferred=True)
    brief: Mapped[str]
    device_uuid: Mapped[str | None] = mapped_column(DeviceUuid)
    device_name: Mapped[str | None]
    device_kind: Mapped[str | None] = mapped_column(Word)
    runtime: Mapped[str] = mapped_column(Digest)
    state: Mapped[str] = mapped_column(Word)
    progress: Mapped[str]
    attempts: Mapped[int]
    error: Mapped[str | None]
    table_id: Mapped[UUID | None] = mapped_column(ForeignKey(LatencyTableRow.id))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    requested_by: Mapped[str | None]
    ran_on: Mapped[str | None] = mapped_column(DeviceUuid)
    started_at: Mapped[datetime | None]
    missing: Mapped[int]


class JobKeyRow(Base):
    """What a job measures: digests of operations, or of its networks."""

    __tablename__ = "job_keys"

    job_id: Mapped[UUID] = mapped_column(ForeignKey(JobRow.id), primary_key=True)
    key: Mapped[str] = mapped_column(Digest, primary_key=True)
    position: Mapped[int]


class LeaseRow(Base):
    """A claim on a job; states: active, completed, released, expired, superseded.

    A lease that was not renewed in time stays expired, even if it completes its job later; `completion` tells.
    Superseded: another lease completed the job after this one was handed out.
    """

    __tablename__ = "leases"
    __table_args__ = (
        Index(
            "uq_leases_active_device",
            "device",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
        Index(
            "uq_leases_active_job",
            "job_id",
            unique=True,
            sqlite_where=text("state = 'active'"),
            postgresql_where=text("state = 'active'"),
        ),
        Index(None, "state", "expires_at"),
        Index(None, "job_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey(JobRow.id))
    device: Mapped[str] = mapped_column(ForeignKey(DeviceRow.uuid))
    environment: Mapped[str] = mapped_column(ForeignKey(EnvironmentRow.digest))
    method_version: Mapped[str] = mapped_column(Word)
    token_digest: Mapped[str] = mapped_column(Digest)
    state: Mapped[str] = mapped_column(Word)
    completion: Mapped[str | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class MeasurementRow(Base):
    """Append-only; `body` is the whole measurement with its samples."""

    __tablename__ = "measurements"
    __table_args__ = (
        Index("ix_measurements_conditions", "key", "device", "environment", "runtime", "method_version"),
        Index(None, "device", "environment", "runtime", "method_version"),
        Index(None, "device", "sequence"),
        Index(None, "job_id", "sequence"),
        Index(
            "ix_measurements_standard",
            *("device", "anchor", "environment", "runtime", "method_version", "standard_us"),
            sqlite_where=text("anchor IS NOT NULL"),
            postgresql_where=text("anchor IS NOT NULL"),
        ),
    )

    sequence: Mapped[int] = mapped_column(Sequence, primary_key=True)
    id: Mapped[UUID] = mapped_column(unique=True)
    digest: Mapped[str] = mapped_column(Digest)
    job_id: Mapped[UUID] = mapped_column(ForeignKey(JobRow.id))
    key: Mapped[str] = mapped_column(Digest)
    device: Mapped[str] = mapped_column(ForeignKey(DeviceRow.uuid))
    environment: Mapped[str] = mapped_column(ForeignKey(EnvironmentRow.digest))
    runtime: Mapped[str] = mapped_column(Digest)
    method_version: Mapped[str] = mapped_column(Word)
    anchor: Mapped[str | None] = mapped_column(Digest)
    standard_us: Mapped[float | None] = mapped_column(Double)
    sound: Mapped[bool]
    late: Mapped[bool]
    received_at: Mapped[datetime]
    body: Mapped[str]


class TokenRow(Base):
    """An access token, by its keyed hash; never deleted, so that a server with tokens does not open again."""

    __tablename__ = "tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str] = mapped_column(Word)
    device: Mapped[str | None] = mapped_column(DeviceUuid)
    digest: Mapped[str] = mapped_column(Digest, unique=True)
    key_id: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    replaced_by: Mapped[UUID | None]
