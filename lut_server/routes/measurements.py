from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body

from lut_server.errors import Unprocessable
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, After, Caller, DeviceQuery, Limit, Lut
from lut_server.schemas import Digest, Measurement, Page, Receipt
from lut_server.storage import measurements

MAX_BATCH = 1000

router = APIRouter(prefix="/measurements", tags=["measurements"], responses=documented(422, 503))


@router.get("", operation_id="list_measurements", summary="Measurements, oldest first", responses=documented(404))
def list_measurements(
    lut: Lut,
    key: Digest | None = None,
    device: DeviceQuery | None = None,
    job_id: UUID | None = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[Measurement]:
    with lut.database.read() as session:
        return measurements.page(session, key, device, job_id, after, limit)


@router.get("/{id}", operation_id="get_measurement", summary="One measurement", responses=documented(404))
def get_measurement(lut: Lut, id: UUID) -> Measurement:
    with lut.database.read() as session:
        return measurements.get(session, id)


@router.put("/{id}", operation_id="put_measurement", summary="Store one measurement", responses=documented(404, 409))
def put_measurement(lut: Lut, caller: Caller, id: UUID, measurement: Measurement) -> Receipt:
    if measurement.id != id:
        raise Unprocessable(
            f"id={measurement.id}: the path says {id}; they must be equal", field="id", value=str(measurement.id)
        )
    caller.require_device(measurement.device)
    with lut.database.write() as session:
        return measurements.put(session, [measurement], lut.clock())[0]


@router.post(
    "",
    operation_id="put_measurements",
    summary="Store several measurements, all or none",
    responses=documented(404, 409),
)
def put_measurements(
    lut: Lut, caller: Caller, batch: Annotated[list[Measurement], Body(min_length=1, max_length=MAX_BATCH)]
) -> list[Receipt]:
    for measurement in batch:
        caller.require_device(measurement.device)
    with lut.database.write() as session:
        return measurements.put(session, batch, lut.clock())
