"""Rows of this database for the examples on the docs page."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from latency_tables.contract import DeviceRecord, LatencyTable, NetworkSpec, Runtime, Transfer
from lut_server.analysis.likeness import differences
from lut_server.storage import calibrations, devices, networks, overview, tables
from lut_server.storage.models import (
    CalibrationRow,
    DeviceRow,
    JobRow,
    LatencyTableRow,
    LeaseRow,
    MeasurementRow,
    NetworkRow,
    PublicationRow,
    TransferRow,
)

CANDIDATES = 20


@dataclass(frozen=True)
class Examples:
    """The newest table, a pair to compare, and the newest of everything else (None if there is none)."""

    table: LatencyTable
    digest: str
    compared: tuple[UUID, UUID]
    allow_unlike: bool
    device: DeviceRecord
    job: tuple[UUID, str] | None
    cancelled: UUID | None
    queued: bool
    lease: UUID | None
    measurement: str | None
    network: tuple[str, str] | None
    prediction: tuple[str, Runtime] | None
    proposal: tuple[NetworkSpec, str, Runtime] | None
    calibration: tuple[UUID, UUID] | None
    transfer: Transfer | None
    publication: UUID | None


def find(session: Session) -> Examples | None:
    """None while there is no table."""
    newest = session.scalars(select(LatencyTableRow).order_by(*tables.NEWEST_FIRST).limit(1)).one_or_none()
    if newest is None:
        return None
    table = tables.get(session, newest.id)
    compared, allow_unlike = _pair(session)
    return Examples(
        table=table,
        digest=newest.content_digest,
        compared=compared,
        allow_unlike=allow_unlike,
        device=devices.get(session, newest.device),
        job=_first(
            session, select(JobRow.id, JobRow.body).where(JobRow.state == "done").order_by(JobRow.sequence.desc())
        ),
        cancelled=session.scalar(
            select(JobRow.id).where(JobRow.state == "cancelled").order_by(JobRow.sequence.desc()).limit(1)
        ),
        queued=bool(session.scalar(select(func.count()).select_from(JobRow).where(JobRow.state == "queued"))),
        lease=session.scalar(select(LeaseRow.id).order_by(LeaseRow.created_at.desc()).limit(1)),
        measurement=session.scalar(select(MeasurementRow.body).order_by(MeasurementRow.sequence.desc()).limit(1)),
        network=_first(session, select(NetworkRow.digest, NetworkRow.body).order_by(NetworkRow.sequence.desc())),
        prediction=_prediction(session),
        proposal=_proposal(session),
        calibration=_first(
            session,
            select(CalibrationRow.id, CalibrationRow.table_id).order_by(CalibrationRow.sequence.desc()),
        ),
        transfer=_transfer(session),
        publication=session.scalar(select(PublicationRow.id).order_by(PublicationRow.sequence.desc()).limit(1)),
    )


def _first(session: Session, query: Any) -> Any:
    row = session.execute(query.limit(1)).one_or_none()
    return None if row is None else tuple(row)


def _pair(session: Session) -> tuple[tuple[UUID, UUID], bool]:
    """The two recent tables that compare best: alike, of two devices, large; a single table with itself."""
    recent = overview.newest_tables(session).items[:CANDIDATES]
    conditions = overview.conditions(session, recent)
    best, best_rank = (recent[0].id, recent[0].id), (True, True, 0)
    for newer, older in combinations(recent, 2):
        if (newer.space, newer.space_digest) == (older.space, older.space_digest):
            unlike = bool(differences([conditions[older.id], conditions[newer.id]]))
            rank = (unlike, older.device == newer.device, -min(older.rows, newer.rows))
            if rank < best_rank:
                best, best_rank = (older.id, newer.id), rank
    return best, best[0] != best[1] and best_rank[0]


def _transfer(session: Session) -> Transfer | None:
    content = session.scalar(select(TransferRow.content).order_by(TransferRow.sequence.desc()).limit(1))
    return None if content is None else Transfer.model_validate_json(content)


def _prediction(session: Session) -> tuple[str, Runtime] | None:
    """The device and runtime where the newest network was predicted."""
    newest = session.scalar(select(NetworkRow.digest).order_by(NetworkRow.sequence.desc()).limit(1))
    results = networks.listed(session, newest, CANDIDATES).record.results if newest else ()
    return next(((result.device.uuid, result.runtime) for result in results if result.raw_us), None)


def _proposal(session: Session) -> tuple[NetworkSpec, str, Runtime] | None:
    """A network of the newest calibration, and a device and runtime where it could be measured next.

    Another device, or the same one with another batch size: either can learn from that calibration.
    """
    query = select(CalibrationRow.id, LatencyTableRow).join(
        LatencyTableRow, LatencyTableRow.id == CalibrationRow.table_id
    )
    newest = session.execute(query.order_by(CalibrationRow.sequence.desc()).limit(1)).one_or_none()
    if newest is None:
        return None
    id, table = newest
    _, evidence = calibrations.evidence(session, [id])[id]
    body = session.scalar(select(NetworkRow.body).where(NetworkRow.digest == next(iter(evidence))))
    if body is None:
        return None
    network = NetworkSpec.model_validate_json(body)
    runtime = tables.runtime_of(table)
    measured = exists().where(
        MeasurementRow.key == network.digest,
        MeasurementRow.device == DeviceRow.uuid,
        MeasurementRow.runtime == table.runtime,
    )
    other = session.scalar(
        select(DeviceRow.uuid)
        .where(DeviceRow.uuid != table.device, DeviceRow.hidden.is_(False), ~measured)
        .order_by(DeviceRow.uuid)
        .limit(1)
    )
    if other is not None:
        return network, other, runtime
    return network, table.device, runtime.model_copy(update={"batch_size": runtime.batch_size + 1})
