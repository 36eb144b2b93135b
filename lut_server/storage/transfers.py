"""Transfers to devices, made from their measured networks, other devices' calibrations, and publications. Immutable."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from latency_tables.contract import (
    MAX_SOURCES,
    Calibration,
    LatencyTable,
    NetworkSpec,
    Page,
    Proposal,
    ProposalRequest,
    Runtime,
    Transfer,
    TransferRequest,
    TransferSource,
    TransferSummary,
    Work,
    canonical_json,
    sha256,
)
from latency_tables.transfer.learned import CalibratedSource, Learned, NoSources, PublishedSource
from latency_tables.transfer.new_device import MIN_NETWORKS
from lut_server.analysis.prediction import MeasuredNetwork
from lut_server.analysis.transfer import VERSION, NamedSource, Target, TransferPredictor, observed_of
from lut_server.errors import Conflict, NotFound, Unprocessable
from lut_server.storage import calibrations, devices, paging, publications, tables
from lut_server.storage.memory import remembered
from lut_server.storage.models import MeasurementRow, NetworkRow, TransferRow

MAX_REMEMBERED = 32
"""Fitted transfers; sources are remembered as many as one transfer may have."""
NEWEST_FIRST = (TransferRow.created_at.desc(), TransferRow.sequence.desc())


@dataclass(frozen=True)
class Known:
    """The sources of a space: what the contract calls them with what they teach, and the work of operations."""

    sources: Sequence[NamedSource]
    works: dict[str, Work]


@dataclass(frozen=True)
class Due:
    """What a transfer is made from; `evidence` is the digest of it. `made`: the newest transfer, if it is that one."""

    target: Target
    measured: Sequence[MeasuredNetwork]
    known: Known
    learned: Learned
    evidence: str
    made: Transfer | None


def due(session: Session, request: TransferRequest) -> Due:
    """Everything that a transfer is made from, as it is now.

    Raises:
        NotFound: no such device.
        Unprocessable: it measured too few networks of the space, or no other device knows their operations.
    """
    target, measured = _measured(session, request)
    if len(measured) < MIN_NETWORKS:
        raise Unprocessable(
            f"device={request.device!r}: measured {len(measured)} network{'s' * (len(measured) != 1)} of "
            f"{request.space} with this runtime, and a transfer takes {MIN_NETWORKS}; post a job that measures more "
            "(PUT /v1/jobs/{id} with `networks`; POST /v1/transfers/proposals says which)",
            field="device",
            value=request.device,
        )
    assert target is not None
    known, ids = _known(session, request, target.device.uuid)
    learned = _learned(known, [network for network, _ in measured])
    evidence = sha256(canonical_json([VERSION, ids, sorted(str(item.measurement.id) for item in measured)]))
    newest = session.scalars(_newest_first(target.device.uuid, request).limit(1)).one_or_none()
    made = Transfer.model_validate_json(newest.content) if newest is not None and newest.evidence == evidence else None
    return Due(target, measured, known, learned, evidence, made)


def propose(session: Session, request: ProposalRequest) -> Proposal:
    """Which of the networks the device best measures next; those that it has measured are left out.

    Raises:
        NotFound: no such device.
        Unprocessable: no other device knows the networks' operations, or fewer networks than `count` are left.
    """
    first = request.networks[0]
    conditions = TransferRequest(
        device=request.device, runtime=request.runtime, space=first.space, space_digest=first.space_digest
    )
    _, measured = _measured(session, conditions)
    uuid = devices.find(session, request.device).uuid
    known, _ = _known(session, conditions, uuid)
    done = {item.network.digest for item in measured}
    candidates = [network for network in request.networks if network.digest not in done]
    if len(candidates) < request.count:
        raise Unprocessable(
            f"networks: {len(candidates)} of them are not measured yet, and count is {request.count}; give "
            "more networks",
            field="networks",
        )
    learned = _learned(known, candidates)
    before = [item.network for item in measured if learned.features.knows(item.network)]
    chosen = learned.choose(candidates, request.count, before)
    names = tuple(named.name for named, source in known.sources if any(source is kept for kept in learned.sources))
    return Proposal(networks=tuple(network.digest for network in chosen), measured=len(measured), sources=names)


def add(session: Session, transfer: Transfer, evidence: str) -> Transfer:
    """Store a transfer. Raises Conflict: another one has its id."""
    stored = session.scalar(select(TransferRow.content_digest).where(TransferRow.id == transfer.id))
    if stored is not None:
        raise Conflict(
            f"id={transfer.id}: another transfer is stored under this id; they are never replaced, so ask under a new "
            "id (UUIDv7)",
            field="id",
            value=str(transfer.id),
        )
    session.add(_new_row(transfer, evidence))
    session.flush()
    return transfer


def stored(session: Session, id: UUID) -> Transfer | None:
    content = session.scalar(select(TransferRow.content).where(TransferRow.id == id))
    return None if content is None else Transfer.model_validate_json(content)


def get(session: Session, id: UUID) -> Transfer:
    """Raises NotFound."""
    transfer = stored(session, id)
    if transfer is None:
        raise NotFound(f"id={id}: no such transfer; GET /v1/transfers lists those there are", field="id", value=str(id))
    return transfer


def newest(session: Session, device: str, runtime: Runtime, space: str, space_digest: str) -> Transfer:
    """The newest transfer to a device (uuid, or a name that only it has). Raises NotFound."""
    row = _newest(session, device, runtime, space, space_digest)
    if row is None:
        found = devices.find(session, device)
        raise NotFound(
            f"no transfer to {found.name} for {space} with space_digest {space_digest} and this runtime. Have networks "
            "measured on it, then make one (PUT /v1/transfers/{id}); lgcnet-search introduce does both"
        )
    return Transfer.model_validate_json(row.content)


def any_newest(session: Session, device: str, runtime: Runtime, space: str, space_digest: str) -> bool:
    """Whether `newest` finds a transfer. Raises NotFound for an unknown device."""
    return _newest(session, device, runtime, space, space_digest) is not None


def page(session: Session, device: str | None, after: str | None, limit: int) -> Page[TransferSummary]:
    query = select(TransferRow)
    if device is not None:
        query = query.where(TransferRow.device == devices.find(session, device).uuid)
    return paging.page(session, query, TransferRow.sequence, after, limit, _summary)


def of_device(session: Session, uuid: str, limit: int) -> list[Transfer]:
    """The newest transfer of each space and runtime of a device, newest first."""
    query = select(TransferRow).where(TransferRow.device == uuid).order_by(*NEWEST_FIRST).limit(limit)
    rows = {(row.space, row.space_digest, row.runtime): row for row in reversed(session.scalars(query).all())}
    return [Transfer.model_validate_json(row.content) for row in reversed(rows.values())]


def predictor(session: Session, transfer: Transfer) -> TransferPredictor:
    """What predicts by a transfer: fitted again from what it was made from, and remembered."""
    return remembered(session, "transfers", MAX_REMEMBERED, transfer.id, lambda: _fit(session, transfer))


def _fit(session: Session, transfer: Transfer) -> TransferPredictor:
    ids = {evidence.network: evidence.measurement_id for evidence in transfer.evidence}
    measured = calibrations.load_measured(session, ids)
    learned = _learned(_load_known(session, transfer.sources), [network for network, _ in measured])
    return TransferPredictor(transfer, learned, learned.new_device(observed_of(measured)[1]))


def _learned(known: Known, needed: Sequence[NetworkSpec]) -> Learned:
    try:
        return Learned([source for _, source in known.sources], needed, known.works)
    except NoSources as error:
        raise Unprocessable(f"space: {error}", field="space") from error


def _measured(session: Session, request: TransferRequest) -> tuple[Target | None, list[MeasuredNetwork]]:
    """Networks that were measured under the conditions of the last one."""
    device = devices.find(session, request.device)
    query = (
        select(MeasurementRow.environment, MeasurementRow.method_version)
        .join(NetworkRow, NetworkRow.digest == MeasurementRow.key)
        .where(
            NetworkRow.space == request.space,
            NetworkRow.space_digest == request.space_digest,
            MeasurementRow.device == device.uuid,
            MeasurementRow.runtime == request.runtime.digest,
        )
        .order_by(MeasurementRow.sequence.desc())
        .limit(1)
    )
    last = session.execute(query).one_or_none()
    if last is None:
        return None, []
    environment, method_version = last
    values = (device.uuid, environment, request.runtime.digest, method_version, request.space, request.space_digest)
    ids = calibrations.measured_keys(session, dict(zip(tables.CONDITIONS, values, strict=True)))
    return Target(device, environment, request.runtime, method_version), calibrations.load_measured(session, ids)


def _known(session: Session, request: TransferRequest, uuid: str) -> tuple[Known, list[str]]:
    """The sources of a space: the newest calibration of every other device and runtime, and publications; their ids."""
    conditions = (request.space, request.space_digest, uuid, request.runtime.digest)
    calibration_ids = calibrations.newest_of_others(session, *conditions)
    publication_ids = publications.ids_of(session, request.space, request.space_digest)
    named = [TransferSource(name="-", calibration_id=id) for id in calibration_ids]
    named += [TransferSource(name="-", publication_id=id) for id in publication_ids]
    named = named[-MAX_SOURCES:]
    return _load_known(session, named), [str(source.calibration_id or source.publication_id) for source in named]


def _load_known(session: Session, named: Sequence[TransferSource]) -> Known:
    sources, works = [], {}
    for source in named:
        read, more = remembered(
            session,
            "sources",
            2 * MAX_SOURCES,
            source.calibration_id or source.publication_id,
            partial(_read, session, source),
        )
        sources.append(read)
        works.update(more)
    return Known(sources, works)


def _read(session: Session, source: TransferSource) -> tuple[NamedSource, dict[str, Work]]:
    if source.calibration_id is not None:
        calibration = calibrations.get(session, source.calibration_id)
        table = tables.get(session, calibration.table_id)
        works = {row.operation.digest: row.work for row in table.rows if row.work is not None}
        return _calibrated(table, calibration, calibrations.networks_of(session, calibration)), works
    assert source.publication_id is not None
    publication = publications.get(session, source.publication_id)
    name = f"{publication.device}, batch {publication.batch_size}"
    named = TransferSource(name=name, publication_id=publication.id)
    read = PublishedSource(name, publications.observed(session, publication))
    return NamedSource(named, read), {item.key: item.work for item in publication.works}


def _calibrated(table: LatencyTable, calibration: Calibration, networks: Sequence[NetworkSpec]) -> NamedSource:
    name = f"{table.device.name}, {table.runtime}"
    return NamedSource(
        TransferSource(name=name, calibration_id=calibration.id),
        CalibratedSource(
            name,
            [row.operation for row in table.rows],
            {row.key: row.latency_us for row in calibration.rows},
            calibration.constant_us.mean,
            networks,
        ),
    )


def _newest(session: Session, device: str, runtime: Runtime, space: str, space_digest: str) -> TransferRow | None:
    request = TransferRequest(device=device, runtime=runtime, space=space, space_digest=space_digest)
    return session.scalars(_newest_first(devices.find(session, device).uuid, request).limit(1)).one_or_none()


def _newest_first(uuid: str, request: TransferRequest) -> Select[TransferRow]:
    query = select(TransferRow).where(
        TransferRow.device == uuid,
        TransferRow.runtime == request.runtime.digest,
        TransferRow.space == request.space,
        TransferRow.space_digest == request.space_digest,
    )
    return query.order_by(*NEWEST_FIRST)


def _new_row(transfer: Transfer, evidence: str) -> TransferRow:
    summary = TransferSummary(
        id=transfer.id,
        content_digest=transfer.digest,
        created_at=transfer.created_at,
        device=transfer.device.uuid,
        device_name=transfer.device.name,
        environment=transfer.environment,
        runtime=transfer.runtime,
        space=transfer.space,
        space_digest=transfer.space_digest,
        networks=len(transfer.evidence),
        card=transfer.card,
    )
    return TransferRow(
        id=transfer.id,
        content_digest=transfer.digest,
        evidence=evidence,
        created_at=transfer.created_at,
        device=transfer.device.uuid,
        environment=transfer.environment,
        runtime=transfer.runtime.digest,
        space=transfer.space,
        space_digest=transfer.space_digest,
        summary=summary.model_dump_json(),
        content=transfer.model_dump_json().encode(),
    )


def _summary(row: TransferRow) -> TransferSummary:
    return TransferSummary.model_validate_json(row.summary)
