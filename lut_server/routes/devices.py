from fastapi import APIRouter

from lut_server.errors import Unprocessable
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, After, Caller, Limit, Lut
from lut_server.schemas import DeviceRecord, DeviceReport, Page
from lut_server.storage import devices

router = APIRouter(prefix="/devices", tags=["devices"], responses=documented(422, 503))


@router.get("", operation_id="list_devices", summary="All devices")
def list_devices(lut: Lut, after: After = None, limit: Limit = DEFAULT_LIMIT) -> Page[DeviceRecord]:
    with lut.database.read() as session:
        return devices.page(session, after, limit)


@router.get("/{uuid}", operation_id="get_device", summary="One device", responses=documented(404))
def get_device(lut: Lut, uuid: str) -> DeviceRecord:
    with lut.database.read() as session:
        return devices.get(session, uuid)


@router.put("/{uuid}", operation_id="register_device", summary="Register a device, or say what changed")
def register_device(lut: Lut, caller: Caller, uuid: str, report: DeviceReport) -> DeviceRecord:
    if report.device.uuid != uuid:
        raise Unprocessable(
            f"device.uuid={report.device.uuid!r}: the path says {uuid!r}; they must be equal",
            field="device.uuid",
            value=report.device.uuid,
        )
    caller.require_device(uuid)
    with lut.database.write() as session:
        return devices.register(session, report, lut.clock())
