"""Networks with their results on every device: the predicted latency beside the measured one."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.contract import (
    Basis,
    Evidence,
    Measurement,
    MissingRows,
    NetworkRecord,
    NetworkResult,
    NetworkSpec,
    Page,
)
from latency_tables.latencies import latency_us
from lut_server.errors import NotFound
from lut_server.storage import calibrations, devices, measurements, operations, paging, predictions, tables
from lut_server.storage.database import insert_missing, select_in
from lut_server.storage.memory import all_remembered
from lut_server.storage.models import LatencyTableRow, MeasurementRow, NetworkRow

MAX_REMEMBERED = 2000
WEIGHT = 6
"""A network with its results, and with what it takes to read them, counts as so many times its own size."""


class Listed(NamedTuple):
    """A network with its newest results, and how many more it has."""

    record: NetworkRecord
    more: int


def put(session: Session, network: NetworkSpec, now: datetime) -> NetworkRecord:
    add(session, [network], now)
    return get(session, network.digest)


def add(session: Session, networks: Iterable[NetworkSpec], now: datetime) -> None:
    ordered = sorted(networks, key=lambda network: network.digest)
    operations.add(session, {counted.operation for network in ordered for counted in network.operations})
    rows = [
        {
            "digest": network.digest,
            "space": network.space,
            "space_digest": network.space_digest,
            "body": network.canonical,
            "created_at": now,
        }
        for network in ordered
    ]
    insert_missing(session, NetworkRow, rows)


def set_name(session: Session, digest: str, name: str) -> NetworkRecord:
    row = _load(session, digest)
    row.name = name
    session.flush()
    return read(session, [row])[0].record


def get(session: Session, digest: str) -> NetworkRecord:
    return listed(session, digest).record


def listed(session: Session, digest: str, most: int | None = None) -> Listed:
    return read(session, [_load(session, digest)], most)[0]


def _load(session: Session, digest: str) -> NetworkRow:
    row = session.scalars(select(NetworkRow).where(NetworkRow.digest == digest)).one_or_none()
    if row is None:
        raise NotFound(
            f"digest={digest!r}: no such network; PUT it first, or post a job that measures it",
            field="digest",
            value=digest,
        )
    return row


def page(session: Session, after: str | None, limit: int) -> Page[NetworkRecord]:
    """Fewer networks than `limit` where they are large."""
    rows, next = paging.take(
        session, select(NetworkRow), NetworkRow.sequence, after, limit, lambda row: WEIGHT * len(row.body)
    )
    return Page(items=tuple(listed.record for listed in read(session, rows)), next=next)


def read(session: Session, rows: Sequence[NetworkRow], most: int | None = None) -> list[Listed]:
    """Rows as networks, each with its newest results, at most so many."""
    # A body has all samples of a measurement: only those that are shown are read.
    columns = (MeasurementRow.key, MeasurementRow.device, MeasurementRow.environment, MeasurementRow.runtime)
    query = select(MeasurementRow.sequence, *columns).order_by(*measurements.LAST_COUNTS)
    last: dict[str, dict[tuple[str, str, str], int]] = {row.digest: {} for row in rows}
    for sequence, key, *conditions in select_in(session, query, MeasurementRow.key, list(last)):
        last[key][tuple(conditions)] = sequence
    shown = {digest: sorted(found.values())[-most if most else 0 :] for digest, found in last.items()}
    wanted = [sequence for sequences in shown.values() for sequence in sequences]
    found = [row for (row,) in select_in(session, select(MeasurementRow), MeasurementRow.sequence, wanted)]
    restated = measurements.read_networks(session, found)
    measured = {row.sequence: (row, measurement) for row, measurement in zip(found, restated, strict=True)}
    results = [(row, [measured[sequence] for sequence in shown[row.digest]]) for row in rows]
    reader = _Reader(session, results)
    return [Listed(reader.read(row, own), len(last[row.digest]) - len(own)) for row, own in results]


Result = tuple[MeasurementRow, Measurement]
"""A stored measurement, and it restated."""


class _Forecast(NamedTuple):
    """What was predicted of a network."""

    table_id: UUID
    raw_us: float
    calibration_id: UUID | None
    predicted_us: float | None
    low_us: float | None
    high_us: float | None


class _Conditions(NamedTuple):
    """The newest table under the conditions of a measurement, and what its calibration's evidence says of networks."""

    table: LatencyTableRow
    basis: Basis
    calibration_id: UUID | None
    evidence: Mapping[str, Evidence]


class _Reader:
    """Reads networks with their results; what the results need is found by a few queries for all of them."""

    def __init__(self, session: Session, results: Sequence[tuple[NetworkRow, Sequence[Result]]]) -> None:
        self._session = session
        wanted = {_key(network.space, network.space_digest, row) for network, own in results for row, _ in own}
        found = tables.newest_of_each(session, wanted)
        newest = calibrations.newest_ids(session, [table.id for table in found.values()])
        compared = all_remembered(
            session, "evidence", MAX_REMEMBERED, newest.values(), partial(calibrations.evidence, session)
        )
        self._conditions = {key: _conditions(table, newest.get(table.id), compared) for key, table in found.items()}
        self._devices = devices.of_uuids(session, {row.device for _, own in results for row, _ in own})

    def read(self, row: NetworkRow, measured: Sequence[Result]) -> NetworkRecord:
        network = NetworkSpec.model_validate_json(row.body)
        return NetworkRecord(
            id=row.digest,
            name=row.name,
            network=network,
            created_at=row.created_at,
            results=tuple(self._result(network, *one) for one in measured),
        )

    def _result(self, network: NetworkSpec, row: MeasurementRow, measurement: Measurement) -> NetworkResult:
        forecast, basis = self._predict(network, row, measurement)
        return NetworkResult(
            device=self._devices[row.device],
            environment=row.environment,
            runtime=measurement.runtime,
            measured=measurement.latency,
            measured_us=latency_us(measurement, basis),
            measured_low_us=measurement.normalized_low_us if basis == "normalized_us" else None,
            measured_high_us=measurement.normalized_high_us if basis == "normalized_us" else None,
            quality=measurement.quality,
            measurement_id=measurement.id,
            measured_at=measurement.measured_at,
            **(forecast._asdict() if forecast else {"table_id": None, "raw_us": None}),
        )

    def _predict(
        self, network: NetworkSpec, row: MeasurementRow, measurement: Measurement
    ) -> tuple[_Forecast | None, Basis]:
        """A prediction by the newest table under a measurement's conditions; and which latencies it is made of."""
        conditions = self._under(network, row)
        if conditions is None:
            return None, "median_us"
        held_out = conditions.evidence.get(network.digest)
        if held_out is not None:  # predicted from the others when the calibration was made: nothing is to be fitted
            forecast = _Forecast(
                conditions.table.id,
                held_out.raw_us,
                conditions.calibration_id,
                held_out.predicted_us,
                held_out.low_us,
                held_out.high_us,
            )
            return forecast, conditions.basis
        predictor = predictions.predictor(self._session, conditions.table.id).compared_with(measurement)
        try:
            made = predictor.predict(network)
        except MissingRows:
            return None, predictor.basis
        return _Forecast(**{name: getattr(made, name) for name in _Forecast._fields}), predictor.basis

    def _under(self, network: NetworkSpec, row: MeasurementRow) -> _Conditions | None:
        return self._conditions.get(_key(network.space, network.space_digest, row))


def _key(space: str, space_digest: str, row: MeasurementRow) -> tables.ConditionValues:
    """The conditions of a measurement of a network."""
    return (row.device, row.environment, row.runtime, row.method_version, space, space_digest)


def _conditions(
    table: LatencyTableRow, newest: UUID | None, compared: Mapping[UUID, tuple[Basis, Mapping[str, Evidence]]]
) -> _Conditions:
    if newest is None:
        return _Conditions(table, "median_us", None, {})
    basis, evidence = compared[newest]
    return _Conditions(table, basis, newest, evidence)
