"""Networks that tell a device's table and its transfer apart."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from latency_tables.calibration import Z90
from latency_tables.contract import NetworkSpec, Prediction, Transfer
from lut_server.storage import predictions, tables, transfers
from lut_server.storage.models import LatencyTableRow, NetworkRow

LOOKED_AT = 100
SHOWN = 5
LEAST_STD = 0.005
"""Of a latency: two predictions that are both surer than that still differ by it at random."""


class Apart(NamedTuple):
    """A network (by digest) and its two predictions; `deviations`: their difference, in standard deviations of it."""

    network: str
    table_us: float
    transfer_us: float
    deviations: float


def told_apart(session: Session, transfer: Transfer) -> tuple[UUID | None, list[Apart]]:
    """The newest table under the transfer's conditions, and the networks that the two predict the most differently.

    Among the newest networks of the space that the device has not measured.
    """
    query = select(LatencyTableRow).filter_by(
        device=transfer.device.uuid,
        runtime=transfer.runtime.digest,
        space=transfer.space,
        space_digest=transfer.space_digest,
    )
    row = session.scalars(query.order_by(*tables.NEWEST_FIRST).limit(1)).one_or_none()
    if row is None:
        return None, []
    by_table, by_transfer = predictions.predictor(session, row.id), transfers.predictor(session, transfer)
    keys = {operation.operation.digest for operation in by_table.table.rows}
    measured = {evidence.network for evidence in transfer.evidence}
    networks = [
        network
        for network in _networks(session, transfer)
        if network.digest not in measured
        and by_transfer.learned.features.knows(network)
        and keys >= {item.operation.digest for item in network.operations}
    ]
    pairs = [
        _apart(by_table.predict(network), prediction)
        for network, prediction in zip(networks, by_transfer.predict(networks) if networks else (), strict=True)
    ]
    return row.id, sorted(pairs, key=lambda pair: -abs(pair.deviations))[:SHOWN]


def _networks(session: Session, transfer: Transfer) -> list[NetworkSpec]:
    query = select(NetworkRow.body).where(
        NetworkRow.space == transfer.space, NetworkRow.space_digest == transfer.space_digest
    )
    bodies = session.scalars(query.order_by(NetworkRow.sequence.desc()).limit(LOOKED_AT))
    return [NetworkSpec.model_validate_json(body) for body in bodies]


def _apart(by_table: Prediction, by_transfer: Prediction) -> Apart:
    table_us = by_table.predicted_us or by_table.raw_us
    assert table_us is not None
    assert by_transfer.predicted_us is not None
    spread = sum(max(_std_us(one), LEAST_STD * table_us) ** 2 for one in (by_table, by_transfer)) ** 0.5
    difference = by_transfer.predicted_us - table_us
    return Apart(by_table.network, table_us, by_transfer.predicted_us, difference / spread)


def _std_us(prediction: Prediction) -> float:
    if prediction.high_us is None or prediction.predicted_us is None:
        return 0.0
    return (prediction.high_us - prediction.predicted_us) / Z90
