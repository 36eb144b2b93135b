"""Calibrations of tables, and the measurements that they are made from. Immutable; the newest of a table counts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from latency_tables.calibration import MIN_NETWORKS, VERSION
from latency_tables.contract import (
    MAX_NETWORKS,
    MAX_OTHERS,
    Basis,
    Calibration,
    CalibrationSummary,
    ErrorCard,
    Evidence,
    JobRequest,
    LatencyTable,
    NetworkSpec,
    Page,
    canonical_json,
    sha256,
)
from lut_server.analysis.prediction import MeasuredNetwork, OtherCalibration
from lut_server.errors import NotFound
from lut_server.storage import measurements, paging, tables
from lut_server.storage.database import select_in
from lut_server.storage.memory import remembered
from lut_server.storage.models import CalibrationRow, LatencyTableRow, LeaseRow, MeasurementRow, NetworkRow

MAX_REMEMBERED = 64


@dataclass(frozen=True)
class Due:
    """A table and networks that were measured under its conditions; `evidence` is the digest of what was measured.

    `others`: the newest calibrations of the space on other devices and runtimes.
    """

    table: LatencyTable
    measured: Sequence[MeasuredNetwork]
    evidence: str
    others: Sequence[OtherCalibration] = ()


def due(session: Session, lease: LeaseRow, request: JobRequest, now: datetime) -> Due | None:
    """What is to be calibrated when a job is done: the table that it ends in, or else the newest under its conditions.

    None if that table's calibration knows all networks already. An imported calibration stays until as many networks
    were measured here as it was made from.
    """
    conditions = tables.conditions_of(lease, request)
    measurement_ids = measured_keys(session, conditions)
    if len(measurement_ids) < MIN_NETWORKS:
        return None
    if request.operations:
        table = tables.draft(session, request, lease, now)
    else:
        row = tables.newest_under(session, **conditions)
        if row is None:
            return None
        table = tables.get(session, row.id)
    evidence = _evidence(VERSION, table.digest, measurement_ids.values())
    newest = _newest(session, table.id)
    if newest is not None and newest.evidence == evidence:
        return None
    keys = {row.operation.digest for row in table.rows}
    measured = [
        network
        for network in load_measured(session, measurement_ids)
        if keys >= {counted.operation.digest for counted in network.network.operations}
    ]
    least = ErrorCard.model_validate_json(newest.card).networks if newest else MIN_NETWORKS
    if len(measured) < least:
        return None
    ids = newest_of_others(session, table.space, table.space_digest, table.device.uuid, table.runtime.digest)
    return Due(
        table,
        measured,
        evidence,
        [remembered(session, "others", MAX_REMEMBERED, id, partial(_other, session, id)) for id in ids[-MAX_OTHERS:]],
    )


def add(session: Session, calibration: Calibration, evidence: str) -> bool:
    """Store a calibration; False if its table was not stored, or if networks were measured while it was made."""
    # One at a time: a calibration from older evidence must not become the newest.
    query = select(LatencyTableRow).where(LatencyTableRow.id == calibration.table_id).with_for_update()
    row = session.scalars(query).one_or_none()
    if row is None or _evidence(VERSION, row.content_digest, _choose_for(session, row).values()) != evidence:
        return False
    newest = _newest(session, row.id)
    if newest is None or newest.evidence != evidence:
        # Never before the one that it follows: the clock may have been put back since.
        rank = max(tables.microseconds(calibration.created_at), newest.rank + 1 if newest else 0)
        session.add(new_row(calibration, evidence, rank))
        session.flush()
    return True


def new_row(calibration: Calibration, evidence: str, rank: int | None = None) -> CalibrationRow:
    """A row to store; without a rank its date decides which calibration of its table is the newest."""
    return CalibrationRow(
        id=calibration.id,
        table_id=calibration.table_id,
        content_digest=calibration.digest,
        evidence=evidence,
        created_at=calibration.created_at,
        rank=tables.microseconds(calibration.created_at) if rank is None else rank,
        version=calibration.version,
        card=calibration.card.model_dump_json(),
        content=calibration.model_dump_json().encode(),
    )


def evidence_of(calibration: Calibration) -> str:
    """The digest of what a calibration was made from."""
    return _evidence(
        calibration.version, calibration.table_digest, (network.measurement_id for network in calibration.evidence)
    )


def find(session: Session, id: UUID) -> CalibrationSummary:
    return _summary(_load_row(session, id))


def newest(session: Session, table_id: UUID) -> UUID | None:
    """The id of a table's newest calibration; None before there is one."""
    row = _newest(session, table_id)
    return row.id if row else None


def newest_ids(session: Session, table_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """The id of the newest calibration of those tables that have one."""
    query = select(CalibrationRow.table_id, CalibrationRow.id).order_by(CalibrationRow.rank, CalibrationRow.sequence)
    return dict(select_in(session, query, CalibrationRow.table_id, table_ids))  # the last of a table counts


def newest_of_others(session: Session, space: str, space_digest: str, device: str, runtime: str) -> list[UUID]:
    """The newest calibration of every other device and runtime (by digest) of a space, the oldest first."""
    query = (
        select(LatencyTableRow.device, LatencyTableRow.runtime, CalibrationRow.id)
        .join(CalibrationRow, CalibrationRow.table_id == LatencyTableRow.id)
        .where(LatencyTableRow.space == space, LatencyTableRow.space_digest == space_digest)
        .order_by(CalibrationRow.created_at, CalibrationRow.sequence)
    )
    newest: dict[tuple[str, str], UUID] = {}
    for of_device, of_runtime, id in session.execute(query):
        newest.pop((of_device, of_runtime), None)
        newest[of_device, of_runtime] = id
    newest.pop((device, runtime), None)
    return list(newest.values())


def _other(session: Session, id: UUID) -> OtherCalibration:
    calibration = get(session, id)
    table = tables.find(session, calibration.table_id)
    coefficients = {row.key: row.latency_us / row.isolated_us for row in calibration.rows}
    return OtherCalibration(f"{table.device_name}, {table.runtime}", id, coefficients)


def newest_cards(session: Session, table_ids: Sequence[UUID]) -> dict[UUID, ErrorCard]:
    """The error cards of those tables that have one."""
    order = (CalibrationRow.rank.desc(), CalibrationRow.sequence.desc())
    rank = func.row_number().over(partition_by=CalibrationRow.table_id, order_by=order).label("rank")
    ranked = select(CalibrationRow.table_id, CalibrationRow.card, rank).subquery()
    query = select(ranked.c.table_id, ranked.c.card).where(ranked.c.rank == 1)
    rows = select_in(session, query, ranked.c.table_id, table_ids)
    return {id: ErrorCard.model_validate_json(card) for id, card in rows}


def require_newest(session: Session, table_id: UUID) -> UUID:
    """The id of a table's newest calibration.

    Raises:
        NotFound: no such table, or it has no calibration; the message says how to get one.
    """
    tables.find(session, table_id)
    id = newest(session, table_id)
    if id is None:
        row = session.scalars(select(LatencyTableRow).where(LatencyTableRow.id == table_id)).one()
        count = len(_choose_for(session, row))
        raise NotFound(
            f"id={table_id}: this table has no calibration; {count} network{'s were' if count != 1 else ' was'} "
            f"measured under its conditions, and it takes {MIN_NETWORKS} whose operations it has. Post a job that "
            "measures networks on its device (PUT /v1/jobs/{id} with `networks`): the newest table is calibrated "
            "when that job is done",
            field="id",
            value=str(table_id),
        )
    return id


def get(session: Session, id: UUID) -> Calibration:
    return Calibration.model_validate_json(content(session, id))


def evidence(session: Session, ids: Iterable[UUID]) -> dict[UUID, tuple[Basis, dict[str, Evidence]]]:
    """Of each calibration the latencies that it compared, and its evidence by network; its rows are not looked at."""
    contents = select_in(session, select(CalibrationRow.id, CalibrationRow.content), CalibrationRow.id, ids)
    return {id: _compared(json.loads(content)) for id, content in contents}


def _compared(calibration: dict[str, Any]) -> tuple[Basis, dict[str, Evidence]]:
    made = [Evidence.model_validate(item) for item in calibration["evidence"]]
    return calibration["basis"], {item.network: item for item in made}


def content(session: Session, id: UUID) -> bytes:
    """The calibration's JSON, as it was made."""
    return _load_row(session, id).content


def page(session: Session, table_id: UUID | None, after: str | None, limit: int) -> Page[CalibrationSummary]:
    query = select(CalibrationRow)
    if table_id is not None:
        query = query.where(CalibrationRow.table_id == tables.find(session, table_id).id)
    return paging.page(session, query, CalibrationRow.sequence, after, limit, _summary)


def networks_of(session: Session, calibration: Calibration) -> list[NetworkSpec]:
    """The networks of its evidence, in the same order."""
    digests = [evidence.network for evidence in calibration.evidence]
    bodies = dict(select_in(session, select(NetworkRow.digest, NetworkRow.body), NetworkRow.digest, digests))
    return [NetworkSpec.model_validate_json(bodies[digest]) for digest in digests]


def _choose_for(session: Session, table: LatencyTableRow) -> dict[str, UUID]:
    return measured_keys(session, {name: getattr(table, name) for name in tables.CONDITIONS})


def measured_keys(session: Session, conditions: Mapping[str, str]) -> dict[str, UUID]:
    """For each network that was measured under these conditions the measurement that counts; the newest networks."""
    query = (
        select(MeasurementRow.key, MeasurementRow.id, MeasurementRow.sound, MeasurementRow.sequence)
        .join(NetworkRow, NetworkRow.digest == MeasurementRow.key)
        .where(
            NetworkRow.space == conditions["space"],
            NetworkRow.space_digest == conditions["space_digest"],
            MeasurementRow.device == conditions["device"],
            MeasurementRow.environment == conditions["environment"],
            MeasurementRow.runtime == conditions["runtime"],
            MeasurementRow.method_version == conditions["method_version"],
        )
        .order_by(*measurements.LAST_COUNTS)
    )
    last = {key: (sound, sequence, id) for key, id, sound, sequence in session.execute(query)}
    newest = sorted(last, key=lambda key: last[key][:2], reverse=True)[:MAX_NETWORKS]
    return {key: last[key][2] for key in newest}


def _evidence(version: str, table_digest: str, measurements: Iterable[UUID]) -> str:
    return sha256(canonical_json([version, table_digest, sorted(map(str, measurements))]))


def load_measured(session: Session, measurement_ids: dict[str, UUID]) -> list[MeasuredNetwork]:
    """In the order of the networks' digests, so that the same evidence makes the same calibration."""
    query = select(NetworkRow.body, MeasurementRow).join(MeasurementRow, MeasurementRow.key == NetworkRow.digest)
    found = sorted(select_in(session, query, MeasurementRow.id, measurement_ids.values()), key=lambda row: row[1].key)
    measured = measurements.read_networks(session, [row for _, row in found])
    return [
        MeasuredNetwork(NetworkSpec.model_validate_json(body), measurement)
        for (body, _), measurement in zip(found, measured, strict=True)
    ]


def _newest(session: Session, table_id: UUID) -> CalibrationRow | None:
    return session.scalars(_newest_first(table_id).limit(1)).one_or_none()


def _newest_first(table_id: UUID) -> Select[CalibrationRow]:
    # One that was imported later may be older.
    query = select(CalibrationRow).where(CalibrationRow.table_id == table_id)
    return query.order_by(CalibrationRow.rank.desc(), CalibrationRow.sequence.desc())


def _load_row(session: Session, id: UUID) -> CalibrationRow:
    row = session.scalars(select(CalibrationRow).where(CalibrationRow.id == id)).one_or_none()
    if row is None:
        raise NotFound(
            f"id={id}: no such calibration; GET /v1/calibrations lists those there are", field="id", value=str(id)
        )
    return row


def _summary(row: CalibrationRow) -> CalibrationSummary:
    return CalibrationSummary(
        id=row.id,
        content_digest=row.content_digest,
        created_at=row.created_at,
        table_id=row.table_id,
        version=row.version,
        card=ErrorCard.model_validate_json(row.card),
    )
