"""Making a transfer: read, compute outside of any transaction, store."""

from datetime import datetime
from uuid import UUID

from latency_tables.contract import Transfer, TransferRequest
from lut_server.analysis.prediction import Uncalibratable
from lut_server.analysis.transfer import transferred
from lut_server.errors import Conflict, Unprocessable
from lut_server.storage import devices, transfers
from lut_server.storage.database import Database


def transfer_to(database: Database, id: UUID, request: TransferRequest, now: datetime) -> Transfer:
    """The transfer to a device by all that is known now, stored under `id`.

    The same id again is the same transfer. If nothing was measured since the newest one, that is the answer.

    Raises:
        NotFound: no such device.
        Conflict: the id is that of a transfer to another device, runtime or space.
        Unprocessable: the device measured too few networks, no other device knows their operations, or the latencies
            are too far apart to compute with.
    """
    with database.read() as session:
        stored = transfers.stored(session, id)
        if stored is not None:
            uuid = devices.find(session, request.device).uuid
            key = (stored.device.uuid, stored.runtime, stored.space, stored.space_digest)
            if key != (uuid, request.runtime, request.space, request.space_digest):
                raise Conflict(
                    f"id={id}: this is a transfer to {stored.device.name} for {stored.space}, {stored.runtime}; ask "
                    "for another one under a new id (UUIDv7)",
                    field="id",
                    value=str(id),
                )
            return stored
        due = transfers.due(session, request)
    if due.made is not None:
        return due.made
    try:
        transfer = transferred(due.target, due.measured, due.learned, due.known.sources, id, now)
    except Uncalibratable as error:
        raise Unprocessable(f"device={request.device!r}: {error}", field="device", value=request.device) from error
    with database.write() as session:
        return transfers.add(session, transfer, due.evidence)
