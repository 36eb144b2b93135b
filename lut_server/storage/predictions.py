"""What networks would cost: by the newest table of a device, or of every device; by a transfer without a table."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.calibration import calibrated_by
from latency_tables.contract import (
    Expectation,
    ExpectationRequest,
    NetworkSpec,
    Prediction,
    PredictionRequest,
    Runtime,
)
from latency_tables.latencies import basis_of
from lut_server.analysis.prediction import Predictor
from lut_server.errors import NotFound
from lut_server.storage import calibrations, tables, transfers
from lut_server.storage.memory import remembered
from lut_server.storage.models import DeviceRow, LatencyTableRow

MAX_REMEMBERED = 64


def predictor(session: Session, table_id: UUID) -> Predictor:
    """A table with its newest calibration. Neither changes, and fitting takes a while, so it is remembered."""
    key = (table_id, calibrations.newest(session, table_id))
    return remembered(session, "predictors", MAX_REMEMBERED, key, lambda: _fit(session, *key))


def predict(session: Session, request: PredictionRequest) -> tuple[Prediction, ...]:
    """A prediction of each network on the device; or on every device whose newest table has all operations.

    Raises:
        NotFound: no such device, table or transfer.
        MissingRows: the table, or that of each device, lacks operations.
        UnknownOperations: the sources of the transfer lack operations.
    """
    network = request.networks[0]
    if request.device is not None and _by_transfer(session, request, request.device):
        transfer = transfers.newest(session, request.device, request.runtime, network.space, network.space_digest)
        return tuple(transfers.predictor(session, transfer).predict(request.networks))
    predictors = _predictors(session, request.networks, request.device, request.runtime)
    return tuple(table_predictor.predict(network) for table_predictor in predictors for network in request.networks)


def expect(session: Session, request: ExpectationRequest) -> tuple[Expectation, ...]:
    """What an input costs in the mean, on the device; or on every device whose newest table has all operations.

    Raises:
        NotFound: no such device or table.
        MissingRows: the table, or that of each device, lacks operations.
    """
    networks = [path.network for path in request.paths]
    predictors = _predictors(session, networks, request.device, request.runtime)
    return tuple(table_predictor.expect(request.paths) for table_predictor in predictors)


def _predictors(
    session: Session, networks: Sequence[NetworkSpec], device: str | None, runtime: Runtime
) -> list[Predictor]:
    """Those of a device's newest table, or of every device's that has all operations. Raises as `expect`."""
    first = networks[0]
    needed = list(dict.fromkeys(counted.operation for network in networks for counted in network.operations))
    if device is not None:
        table = tables.find_newest(session, device, runtime, first.space, first.space_digest)
        predictors = [predictor(session, table.id)]
    else:
        newest = [predictor(session, id) for id in _newest_of_each_device(session, first, runtime)]
        complete = [
            candidate for candidate in newest if {row.operation for row in candidate.table.rows}.issuperset(needed)
        ]
        predictors = complete or newest[:1]
    for table_predictor in predictors:
        table_predictor.table.require(needed)
    return predictors


def _by_transfer(session: Session, request: PredictionRequest, device: str) -> bool:
    """Whether it was asked for, or the device has one and no table."""
    if request.by is not None:
        return request.by == "transfer"
    network = request.networks[0]
    conditions = (device, request.runtime, network.space, network.space_digest)
    return not tables.any_newest(session, *conditions) and transfers.any_newest(session, *conditions)


def _fit(session: Session, table_id: UUID, calibration_id: UUID | None) -> Predictor:
    table = tables.get(session, table_id)
    if calibration_id is None:
        return Predictor(table, basis_of(table))
    calibration = calibrations.get(session, calibration_id)
    networks = calibrations.networks_of(session, calibration)
    return Predictor(table, calibration.basis, calibration, calibrated_by(table, calibration, networks))


def _newest_of_each_device(session: Session, network: NetworkSpec, runtime: Runtime) -> Iterable[UUID]:
    """Tables in the order of their devices' names."""
    columns = (LatencyTableRow.id, LatencyTableRow.device, LatencyTableRow.device_name)
    query = (
        select(*columns)
        .join(DeviceRow, DeviceRow.uuid == LatencyTableRow.device)
        .where(
            DeviceRow.hidden.is_(False),
            LatencyTableRow.runtime == runtime.digest,
            LatencyTableRow.space == network.space,
            LatencyTableRow.space_digest == network.space_digest,
        )
    )
    ordered = session.execute(query.order_by(LatencyTableRow.rank, LatencyTableRow.sequence)).all()
    newest = {device: (name, device, id) for id, device, name in ordered}
    if not newest:
        raise NotFound(
            f"no device has a table for {network.space} with space_digest {network.space_digest} and this runtime. "
            "Post a profile job (PUT /v1/jobs/{id}) to get one; GET /v1/tables lists the existing tables"
        )
    return [id for _, _, id in sorted(newest.values())]
