"""The web page: devices and their tables, the queue, networks, and comparisons; for people, in HTML."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from latency_tables.contract import Comparison, TableSummary
from lut_server.analysis.comparison import compare
from lut_server.analysis.error_card import card_state
from lut_server.analysis.likeness import differences
from lut_server.errors import NotFound, ServiceError
from lut_server.nouns import Noun
from lut_server.pages.calibration_charts import calibration_chart
from lut_server.pages.charts import comparison_chart, networks_chart, table_chart
from lut_server.pages.templating import page, picture
from lut_server.routes.state import Lut, State
from lut_server.storage import calibrations, devices, health, overview, tables
from lut_server.storage.comparisons import MAX_TABLES, load_sides

TABLES_OF_A_DEVICE = 100


class _PageRoute(APIRoute):
    """Refusals as pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except ServiceError as error:
                if "unlike" not in error.extra:
                    return _problem(error.status, error.title, str(error), None)
                url = request.url.include_query_params(allow_unlike="true")
                said = f"{'; '.join(error.extra['unlike'])}. A difference need not come from the devices."
                return _problem(error.status, "These tables are unlike", said, f"{url.path}?{url.query}")
            except RequestValidationError as error:
                first = error.errors()[0]
                detail = f"{first['loc'][-1]}: {first['msg']}"
                return _problem(422, "This address is not valid", detail)

        return handle


def _problem(status: int, title: str, detail: str, anyway: str | None = None) -> Response:
    return page("problem.html", status, here="", title=title, detail=detail, anyway=anyway)


NOUN = Noun("pages", prefix="")
router = APIRouter(include_in_schema=False, route_class=_PageRoute)


@router.get("/")
def show_devices(lut: Lut) -> Response:
    now = lut.clock()
    with lut.database.read() as session:
        return page(
            "devices.html",
            here="/",
            now=now,
            devices=overview.newest_devices(session, now),
            names=overview.device_names(session),
            queue=overview.queue(session),
        )


@router.get("/queue")
def show_queue(lut: Lut) -> Response:
    with lut.database.read() as session:
        names = overview.device_names(session)
        return page("queue.html", here="/queue", now=lut.clock(), names=names, queue=overview.queue(session))


@router.get("/networks")
def show_networks(lut: Lut) -> Response:
    with lut.database.read() as session:
        return page("networks.html", here="/networks", networks=overview.newest_networks(session))


@router.get("/networks/picture.svg")
def draw_networks(lut: Lut, phone: bool = False) -> Response:
    with lut.database.read() as session:
        drawn = networks_chart(overview.newest_networks(session), phone=phone)
    if drawn is None:
        raise NotFound("no network was measured on a device whose table is calibrated yet")
    return picture(drawn)


@router.get("/devices/{uuid}")
def show_device(lut: Lut, uuid: str) -> Response:
    now = lut.clock()
    with lut.database.read() as session:
        record = devices.get(session, uuid)
        held = health.of_device(session, uuid, now, TABLES_OF_A_DEVICE)
    return page("device.html", here="/", now=now, record=record, tables=held)


@router.get("/tables/{id}")
def show_table(lut: Lut, id: UUID) -> Response:
    now = lut.clock()
    with lut.database.read() as session:
        table = tables.get(session, id)
        newest = calibrations.newest(session, id)
        calibration = calibrations.get(session, newest) if newest else None
    state = card_state(calibration.card if calibration else None, table.created_at, now)
    inside = {row.key: row.latency_us for row in calibration.rows} if calibration else {}
    return page("table.html", here="/", now=now, table=table, calibration=calibration, state=state, inside=inside)


@router.get("/tables/{id}/calibration.svg")
def draw_calibration(lut: Lut, id: UUID, phone: bool = False) -> Response:
    with lut.database.read() as session:
        calibration = calibrations.get(session, calibrations.require_newest(session, id))
    return picture(calibration_chart(calibration, phone))


@router.get("/tables/{id}/picture.svg")
def draw_table(lut: Lut, id: UUID, phone: bool = False) -> Response:
    with lut.database.read() as session:
        return picture(table_chart(tables.get(session, id), phone=phone))


@router.get("/compare")
def show_comparison(
    lut: Lut,
    table: Annotated[Sequence[UUID], Query(max_length=MAX_TABLES)] = (),
    allow_unlike: bool = False,
    more: bool = False,
) -> Response:
    """With fewer than two tables, or if there are to be more, the page to pick one from."""
    if len(table) >= 2 and not more:
        comparison = _compare(lut, table, allow_unlike)
        return page("compare.html", here="/compare", comparison=comparison, allow_unlike=allow_unlike)
    with lut.database.read() as session:
        picked = [tables.find(session, id) for id in table]
        every = overview.newest_tables(session)
        conditions = {item.id: overview.conditions(session, item) for item in (*picked, *every)}
    fitting = [item for item in every if item.id not in table and _may_share(picked, item)]
    unlike = {item.id: differences([conditions[id] for id in (*table, item.id)]) for item in fitting}
    return page(
        "pick.html",
        here="/compare",
        now=lut.clock(),
        picked=picked,
        tables=sorted(fitting, key=lambda item: bool(unlike[item.id])),
        unlike=unlike,
        others=len(every) - len(picked) - len(fitting),
    )


@router.get("/compare/picture.svg")
def draw_comparison(
    lut: Lut,
    table: Annotated[Sequence[UUID], Query(max_length=MAX_TABLES)] = (),
    allow_unlike: bool = False,
    phone: bool = False,
) -> Response:
    return picture(comparison_chart(_compare(lut, table, allow_unlike), phone=phone))


def _compare(lut: State, ids: Sequence[UUID], allow_unlike: bool) -> Comparison:
    with lut.database.read() as session:
        sides = load_sides(session, ids)
    return compare(sides, allow_unlike=allow_unlike)


def _may_share(picked: Sequence[TableSummary], table: TableSummary) -> bool:
    return all((table.space, table.space_digest) == (item.space, item.space_digest) for item in picked)
