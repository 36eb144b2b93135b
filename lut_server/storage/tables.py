"""Tables: projections of the measurements, immutable once built."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import uuid6
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from latency_tables.contract import (
    MAX_OPERATIONS,
    MAX_WARNINGS,
    Figures,
    JobRequest,
    LatencyTable,
    Measurement,
    Page,
    Runtime,
    TableRow,
    TableSummary,
    canonical_json,
)
from lut_server.analysis.table_warnings import warnings_of
from lut_server.errors import NotFound
from lut_server.storage import devices, measurements, operations, paging
from lut_server.storage.database import select_in
from lut_server.storage.models import LatencyTableRow, LeaseRow, MeasurementRow

# A table that was imported later may be older; one that was built here later is newer, whatever the clock said.
NEWEST_FIRST = (LatencyTableRow.rank.desc(), LatencyTableRow.sequence.desc())
SHOWN = 20
CONDITIONS = ("device", "environment", "runtime", "method_version", "space", "space_digest")
"""Columns of a table: under which conditions all of its rows were measured (environment and runtime by digest)."""
ConditionValues = tuple[str, str, str, str, str, str]
"""The values of CONDITIONS, in their order."""


@dataclass(frozen=True)
class TableFilter:
    """Tables whose columns are equal to every field that is not None; `device` by uuid, or by a name that is unique."""

    device: str | None = None
    space: str | None = None
    space_digest: str | None = None
    mode: str | None = None
    precision: str | None = None
    batch_size: int | None = None
    threads: int | None = None

    def apply(self, session: Session, query: Select[LatencyTableRow]) -> Select[LatencyTableRow]:
        columns = {**vars(self), "device": devices.find(session, self.device).uuid if self.device else None}
        return query.filter_by(**{name: value for name, value in columns.items() if value is not None})


def build(
    session: Session,
    request: JobRequest,
    lease: LeaseRow,
    now: datetime,
    drafted: LatencyTable | None = None,
    requested_by: str | None = None,
) -> UUID:
    """Store the table that a profile job ends in, unless it is the newest one; its id.

    `drafted`: the table as it was drafted before; it keeps its id if no measurement came since then.
    """
    table = draft(session, request, lease, now)
    if session.scalar(select(LatencyTableRow.sequence).where(LatencyTableRow.id == table.id)) is not None:
        return table.id
    if drafted is not None and drafted.digest == table.digest:
        table = drafted
    session.add(new_row(table, rank=_rank(session, table, lease, request), requested_by=requested_by))
    session.flush()
    return table.id


def _rank(session: Session, table: LatencyTable, lease: LeaseRow, request: JobRequest) -> int:
    """After every table of this device that was built here, and after the one that this table follows.

    Only the clock's order counts against other imported ones: it may have been put back since.
    """
    last = session.scalar(
        select(func.max(LatencyTableRow.rank)).where(
            LatencyTableRow.device == table.device.uuid, LatencyTableRow.imported.is_(False)
        )
    )
    followed = newest_under(session, **conditions_of(lease, request))
    earlier = [-1 if last is None else last, -1 if followed is None else followed.rank]
    return max(microseconds(table.created_at), 1 + max(earlier))


def draft(session: Session, request: JobRequest, lease: LeaseRow, now: datetime) -> LatencyTable:
    """The table of a profile job's device, environment, runtime and space, not stored yet.

    It holds every operation of the space that was measured under these conditions, so a job for a few more operations
    extends the table. Rows of the table before it that were imported and never measured here are taken over. Each
    row is the newest sound measurement, or the newest if none is sound. If the newest table has the same content, it
    is that one.
    """
    runtime = request.runtime.digest
    sequences = _choose(session, runtime, lease)
    specs = operations.of_space(session, request.space, request.space_digest, list(sequences))
    own = set(request.keys)
    keys = sorted((key for key in sequences if key in specs), key=lambda key: (key not in own, -sequences[key]))
    measured = _load(session, {key: sequences[key] for key in keys[:MAX_OPERATIONS]})
    rows = [
        TableRow(
            operation=specs[key],
            latency=measurement.latency,
            quality=measurement.quality,
            **{name: getattr(measurement, name) for name in Figures.model_fields},
            measurement_id=measurement.id,
        )
        for key, measurement in measured
    ]
    environment = devices.environment(session, lease.environment)
    warnings = warnings_of(environment, [measurement for _, measurement in measured])
    conditions = conditions_of(lease, request)
    followed = newest_under(session, **conditions)
    if followed is not None:
        before = get(session, followed.id)
        imported = [row for row in before.rows if row.operation.digest not in sequences][: MAX_OPERATIONS - len(rows)]
        rows += imported
        warnings = tuple(dict.fromkeys((*warnings, *before.warnings)))[:MAX_WARNINGS] if imported else warnings
    table = LatencyTable(
        id=uuid6.uuid7(),
        created_at=now,
        device=devices.find(session, lease.device),
        environment=environment,
        runtime=request.runtime,
        method_version=lease.method_version,
        space=request.space,
        space_digest=request.space_digest,
        warnings=warnings,
        rows=tuple(sorted(rows, key=lambda row: row.operation.digest)),
    )
    alike = {name: conditions[name] for name in ("device", "runtime", "space", "space_digest")}
    newest = newest_under(session, **alike)
    return get(session, newest.id) if newest is not None and newest.content_digest == table.digest else table


def conditions_of(lease: LeaseRow, request: JobRequest) -> dict[str, str]:
    """Under which the results of a leased job are measured, as columns of a table."""
    values = (lease.device, lease.environment, request.runtime.digest, lease.method_version)
    return dict(zip(CONDITIONS, (*values, request.space, request.space_digest), strict=True))


def new_row(table: LatencyTable, rank: int | None = None, requested_by: str | None = None) -> LatencyTableRow:
    """A row to store; without a rank, as of a table that was imported, its date decides which table is newer."""
    runtime = table.runtime
    qualities = [row.quality for row in table.rows]
    return LatencyTableRow(
        id=table.id,
        content_digest=table.digest,
        created_at=table.created_at,
        device=table.device.uuid,
        device_name=table.device.name,
        environment=table.environment.digest,
        runtime=runtime.digest,
        mode=runtime.mode,
        precision=runtime.precision,
        batch_size=runtime.batch_size,
        threads=runtime.threads,
        method_version=table.method_version,
        space=table.space,
        space_digest=table.space_digest,
        rows=len(table.rows),
        rank=microseconds(table.created_at) if rank is None else rank,
        imported=rank is None,
        converged=sum(quality.converged for quality in qualities),
        noisy=sum(quality.noisy for quality in qualities),
        throttled=sum(quality.throttled for quality in qualities),
        doubtful=sum(not quality.sound for quality in qualities),
        largest_input=json.dumps(table.largest_input),
        warnings=json.dumps(table.warnings),
        requested_by=requested_by,
        content=table.model_dump_json().encode(),
    )


def microseconds(instant: datetime) -> int:
    """Since 1970: what rows are ranked by."""
    return round(instant.timestamp() * 1_000_000)


def runtime_of(row: LatencyTableRow) -> Runtime:
    return Runtime.model_validate({name: getattr(row, name) for name in Runtime.model_fields})


def find(session: Session, id: UUID) -> TableSummary:
    return summary(_load_row(session, id))


def newest_under(session: Session, **conditions: str) -> LatencyTableRow | None:
    """The newest table whose columns are these: device, environment and runtime (by digest), method, space."""
    return _newest(session, select(LatencyTableRow).filter_by(**conditions))


def newest_of_each(session: Session, wanted: Collection[ConditionValues]) -> dict[ConditionValues, LatencyTableRow]:
    """The newest table under each of the conditions that has one, by two queries for 500 devices."""
    columns = [getattr(LatencyTableRow, name) for name in CONDITIONS]
    query = (
        select(LatencyTableRow.sequence, *columns)
        .where(LatencyTableRow.space_digest.in_({space_digest for *_, space_digest in wanted}))
        .order_by(LatencyTableRow.rank, LatencyTableRow.sequence)
    )
    found = select_in(session, query, LatencyTableRow.device, {device for device, *_ in wanted})
    newest = {tuple(values): sequence for sequence, *values in found}  # the last of those that are alike counts
    sequences = {newest[values]: values for values in wanted if values in newest}
    rows = select_in(session, select(LatencyTableRow), LatencyTableRow.sequence, sequences)
    return {sequences[row.sequence]: row for (row,) in rows}


def find_newest(
    session: Session, device: str, runtime: Runtime, space: str | None = None, space_digest: str | None = None
) -> TableSummary:
    """The newest table of exactly this runtime.

    Raises:
        NotFound: no such device or table; the message names those there are.
    """
    row = _newest_of(session, device, runtime, space, space_digest)
    if row is None:
        existing = describe_all(session, TableFilter(device=device))
        name = devices.find(session, device).name
        digest = f" with space_digest {space_digest}" if space_digest else ""
        raise NotFound(
            f"no table of {name} for {space or 'any space'}{digest} and runtime "
            f"{canonical_json(runtime.model_dump(mode='json'))}. Post a profile job (PUT /v1/jobs/{{id}}) to get one. "
            f"{in_words(existing)}",
            known=existing,
        )
    return summary(row)


def any_newest(session: Session, device: str, runtime: Runtime, space: str, space_digest: str) -> bool:
    """Whether `find_newest` finds a table. Raises NotFound for an unknown device."""
    return _newest_of(session, device, runtime, space, space_digest) is not None


def get(session: Session, id: UUID) -> LatencyTable:
    return LatencyTable.model_validate_json(content(session, id))


def content(session: Session, id: UUID) -> bytes:
    """The table's JSON, as it was built."""
    return _load_row(session, id).content


def page(session: Session, filter: TableFilter, after: str | None, limit: int) -> Page[TableSummary]:
    query = filter.apply(session, select(LatencyTableRow))
    return paging.page(session, query, LatencyTableRow.sequence, after, limit, summary)


def _choose(session: Session, runtime: str, lease: LeaseRow) -> dict[str, int]:
    """For each key measured under a lease's conditions, the sequence of the measurement that counts."""
    query = (
        select(MeasurementRow.key, MeasurementRow.sequence)
        .where(
            MeasurementRow.device == lease.device,
            MeasurementRow.environment == lease.environment,
            MeasurementRow.runtime == runtime,
            MeasurementRow.method_version == lease.method_version,
        )
        .order_by(*measurements.LAST_COUNTS)
    )
    return dict(session.execute(query).all())


def _load(session: Session, sequences: dict[str, int]) -> list[tuple[str, Measurement]]:
    query = select(MeasurementRow.key, MeasurementRow.body)
    bodies = dict(select_in(session, query, MeasurementRow.sequence, sequences.values()))
    return [(key, Measurement.model_validate_json(bodies[key])) for key in sequences]


def _newest_of(
    session: Session, device: str, runtime: Runtime, space: str | None, space_digest: str | None
) -> LatencyTableRow | None:
    query = TableFilter(device, space, space_digest).apply(session, select(LatencyTableRow))
    return _newest(session, query.where(LatencyTableRow.runtime == runtime.digest))


def _newest(session: Session, query: Select[LatencyTableRow]) -> LatencyTableRow | None:
    return session.scalars(query.order_by(*NEWEST_FIRST).limit(1)).one_or_none()


def _load_row(session: Session, id: UUID) -> LatencyTableRow:
    row = session.scalars(select(LatencyTableRow).where(LatencyTableRow.id == id)).one_or_none()
    if row is None:
        raise NotFound(f"id={id}: no such table; GET /v1/tables lists those there are", field="id", value=str(id))
    return row


def describe_all(session: Session, filter: TableFilter) -> list[str]:
    """The newest tables that a filter lets through, each in a few words."""
    query = filter.apply(session, select(LatencyTableRow)).order_by(*NEWEST_FIRST).limit(SHOWN)
    return [_describe(row) for row in session.scalars(query)]


def in_words(existing: Sequence[str]) -> str:
    """The tables of a device, for a message that one is not there."""
    return f"Tables of this device: {'; '.join(existing)}" if existing else "This device has no table yet"


def _describe(row: LatencyTableRow) -> str:
    return (
        f"{row.space}, {runtime_of(row)}, {row.rows} row{'s' * (row.rows != 1)}, {row.created_at:%Y-%m-%d} ({row.id})"
    )


def summary(row: LatencyTableRow) -> TableSummary:
    return TableSummary.model_validate(
        {
            "id": row.id,
            "content_digest": row.content_digest,
            "created_at": row.created_at,
            "device": row.device,
            "device_name": row.device_name,
            "environment": row.environment,
            "runtime": runtime_of(row),
            "method_version": row.method_version,
            "space": row.space,
            "space_digest": row.space_digest,
            "rows": row.rows,
            "largest_input": json.loads(row.largest_input),
            "requested_by": row.requested_by,
        }
    )
