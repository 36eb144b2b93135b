"""Measurements: one by one, or in batches that are stored whole or not at all."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, TypeAdapter

from latency_tables.contract import Digest, Measurement, Page, Receipt
from lut_server.errors import Unprocessable
from lut_server.nouns import MIB, Noun
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, After, Caller, DeviceQuery, Limit, Parts, answer, parse
from lut_server.storage import measurements

MAX_BATCH = 1000
_BATCH = TypeAdapter(Annotated[list[Measurement], Field(min_length=1, max_length=MAX_BATCH)])
_RECEIPTS = TypeAdapter(list[Receipt])

NOUN = Noun(
    "measurements",
    tag="Results with their samples; append-only, each exactly once.",
    order=40,
    write="agent",
    of_device=True,
    max_bytes=16 * MIB,  # 500 measurements of 1000 samples have about 10 MiB
)
router = APIRouter(prefix="/measurements", tags=[NOUN.name], responses=documented(422, 503))


@router.get("", operation_id="list_measurements", summary="Measurements, oldest first", responses=documented(404))
def list_measurements(
    parts: Parts,
    key: Digest | None = None,
    device: DeviceQuery | None = None,
    job_id: UUID | None = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[Measurement]:
    with parts.database.read() as session:
        return measurements.page(session, key, device, job_id, after, limit)


@router.get("/{id}", operation_id="get_measurement", summary="One measurement", responses=documented(404))
def get_measurement(parts: Parts, id: UUID) -> Measurement:
    with parts.database.read() as session:
        return measurements.get(session, id)


@router.put(
    "/{id}",
    operation_id="put_measurement",
    summary="Store one measurement",
    response_model=Receipt,
    responses=documented(404, 409),
)
def put_measurement(parts: Parts, caller: Caller, id: UUID, measurement: Measurement) -> Response:
    if measurement.id != id:
        raise Unprocessable(
            f"id={measurement.id}: the path says {id}; they must be equal", field="id", value=str(measurement.id)
        )
    caller.require_device(measurement.device)
    row = measurements.to_row(measurement)
    with parts.database.write() as session:
        receipt = measurements.put(session, [row], parts.clock())[0]
    return answer(receipt)


async def _batch(http: Request) -> bytes:
    return await http.body()


@router.post(
    "",
    operation_id="put_measurements",
    summary="Store several measurements, all or none",
    response_model=list[Receipt],
    responses=documented(404, 409),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Measurement"},
                        "minItems": 1,
                        "maxItems": MAX_BATCH,
                    }
                }
            },
        }
    },
)
def put_measurements(parts: Parts, caller: Caller, body: Annotated[bytes, Depends(_batch)]) -> Response:
    """The batch is parsed here, in a thread: FastAPI would parse it in the event loop, and all requests would wait."""
    batch = parse(_BATCH, body)
    for uuid in {measurement.device for measurement in batch}:
        caller.require_device(uuid)
    rows = [measurements.to_row(measurement) for measurement in batch]
    with parts.database.write() as session:
        receipts = measurements.put(session, rows, parts.clock())
    return Response(_RECEIPTS.dump_json(receipts), media_type="application/json")
