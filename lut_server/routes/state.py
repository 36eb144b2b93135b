"""The parts of the application that routes use, and the parameters that several of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter
from fastapi import Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from pydantic import TypeAdapter, ValidationError

from latency_tables.contract import Contract, Mode, Precision, Runtime, Text
from lut_server.access.auth import Access, Principal
from lut_server.access.gate import PRINCIPAL
from lut_server.clock import Clock
from lut_server.service.hot_tables import HotTables
from lut_server.service.readiness import Readiness
from lut_server.service.waiting import WaitingRoom
from lut_server.storage.database import Database

Parsed = TypeVar("Parsed")
MAX_LIMIT = 1000
BatchSize = Annotated[int, Query(gt=0, le=65536)]
Threads = Annotated[int, Query(gt=0, le=4096)]


@dataclass(frozen=True)
class State:
    """The parts that every route may use."""

    database: Database
    access: Access
    clock: Clock
    stopping: Callable[[], bool]
    hot_tables: HotTables
    registry: CollectorRegistry
    readiness: Readiness
    read_threads: CapacityLimiter
    waiting_room: WaitingRoom


async def _state(request: Request) -> State:
    state: State = request.app.state.lut
    return state


async def _caller(request: Request) -> Principal:
    caller: Principal = request.scope[PRINCIPAL]
    return caller


async def _runtime(
    mode: Mode = "pytorch",
    precision: Precision = "fp32",
    batch_size: BatchSize = 1,
    threads: Annotated[Threads | None, Query(description="On CPUs only; leave it out for a GPU.")] = None,
) -> Runtime:
    return Runtime(mode=mode, precision=precision, batch_size=batch_size, threads=threads)


async def _admin(request: Request) -> None:
    """Only for administrators, of a noun that others may write too; refused before the body is looked at."""
    caller: Principal = request.scope[PRINCIPAL]
    caller.require_admin()


ADMIN: Any = Depends(_admin)
Parts = Annotated[State, Depends(_state)]
Caller = Annotated[Principal, Depends(_caller)]
RuntimeQuery = Annotated[Runtime, Depends(_runtime)]
DeviceQuery = Annotated[Text, Query(description="The uuid of a device, or its name if no other device has it.")]
_AFTER = "`next` of the page before; leave it out for the first page."
After = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", description=_AFTER)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
DEFAULT_LIMIT = 100


def answer(model: Contract) -> Response:
    """A model as JSON, written in the calling thread: FastAPI would validate it again in another one."""
    return Response(model.model_dump_json(), media_type="application/json")


def parse(adapter: TypeAdapter[Parsed], body: bytes) -> Parsed:
    """A JSON body that FastAPI did not parse, refused in the same way."""
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**details, "loc": ("body", *details["loc"])} for details in errors]) from error
