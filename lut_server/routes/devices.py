"""Devices, as their agents register them."""

from typing import Annotated

from fastapi import APIRouter, Query

from latency_tables.contract import DeviceRecord, DeviceReport, DeviceUuid, DeviceVisibility, Page
from lut_server.errors import Unprocessable
from lut_server.nouns import Noun
from lut_server.problems import documented
from lut_server.routes.state import ADMIN, DEFAULT_LIMIT, Caller, Limit, Parts
from lut_server.storage import devices, health

NOUN = Noun(
    "devices",
    tag="Machines that agents registered: hardware, last heartbeat, health of tables.",
    order=10,
    write="agent",
    of_device=True,
)
router = APIRouter(prefix="/devices", tags=[NOUN.name], responses=documented(422, 503))


@router.get("", operation_id="list_devices", summary="All devices")
def list_devices(
    parts: Parts,
    after: DeviceUuid | None = None,
    limit: Limit = DEFAULT_LIMIT,
    hidden: Annotated[bool, Query(description="Also those that an administrator hid.")] = False,
) -> Page[DeviceRecord]:
    """Each with the health of its newest tables: age, doubtful rows, whether its machine is in doubt, and the error."""
    with parts.database.read() as session:
        page = devices.page(session, after, limit, hidden=hidden)
        items = health.with_newest_tables(session, page.items, parts.clock())
    return page.model_copy(update={"items": tuple(items)})


@router.get("/{uuid}", operation_id="get_device", summary="One device", responses=documented(404))
def get_device(parts: Parts, uuid: str) -> DeviceRecord:
    with parts.database.read() as session:
        return health.with_newest_tables(session, [devices.get(session, uuid)], parts.clock())[0]


@router.put("/{uuid}", operation_id="register_device", summary="Register a device, or update it")
def register_device(parts: Parts, caller: Caller, uuid: str, report: DeviceReport) -> DeviceRecord:
    if report.device.uuid != uuid:
        raise Unprocessable(
            f"device.uuid={report.device.uuid!r}: the path says {uuid!r}; they must be equal",
            field="device.uuid",
            value=report.device.uuid,
        )
    caller.require_device(uuid)
    with parts.database.write() as session:
        return devices.register(session, report, parts.clock())


@router.put(
    "/{uuid}/visibility",
    operation_id="set_device_visibility",
    summary="Hide a device, or show it again (administrators)",
    responses=documented(404),
    dependencies=[ADMIN],
)
def set_device_visibility(parts: Parts, uuid: str, visibility: DeviceVisibility) -> DeviceRecord:
    """A hidden device is in no list, does not make its name ambiguous and takes no jobs; its tables stay readable."""
    with parts.database.write() as session:
        return devices.set_visibility(session, uuid, visibility)


@router.delete(
    "/{uuid}",
    operation_id="remove_device",
    summary="Forget a device that measured nothing (administrators)",
    status_code=204,
    responses=documented(404, 409),
    dependencies=[ADMIN],
)
def remove_device(parts: Parts, uuid: str) -> None:
    """A device with tables or measurements is refused: hide it."""
    with parts.database.write() as session:
        devices.remove(session, uuid)
