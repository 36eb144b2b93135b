"""The web pages, in HTML for people: devices and their tables, the queue, networks, comparisons."""

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
from lut_server.routes.state import Parts, State
from lut_server.storage import calibrations, devices, health, overview, tables, transfers
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
                detail = f"{'; '.join(error.extra['unlike'])}. A difference need not come from the devices."
                return _problem(error.status, "These tables are unlike", detail, f"{url.path}?{url.query}")
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
def show_devices(parts: Parts) -> Response:
    now = parts.clock()
    with parts.database.read() as session:
        return page(
            "devices.html",
            here="/",
            now=now,
            devices=overview.newest_devices(session, now),
            names=overview.device_names(session),
            queue=overview.queue(session),
        )


@router.get("/queue")
def show_queue(parts: Parts) -> Response:
    with parts.database.read() as session:
        names = overview.device_names(session)
        return page("queue.html", here="/queue", now=parts.clock(), names=names, queue=overview.queue(session))


@router.get("/networks")
def show_networks(parts: Parts) -> Response:
    with parts.database.read() as session:
        return page("networks.html", here="/networks", networks=overview.newest_networks(session))


@router.get("/networks/picture.svg")
def draw_networks(parts: Parts, phone: bool = False) -> Response:
    with parts.database.read() as session:
        chart = networks_chart(overview.newest_networks(session), phone=phone)
    if chart is None:
        raise NotFound("no network was measured on a device whose table is calibrated yet")
    return picture(chart)


@router.get("/devices/{uuid}")
def show_device(parts: Parts, uuid: str) -> Response:
    now = parts.clock()
    with parts.database.read() as session:
        record = devices.get(session, uuid)
        newest = health.of_device(session, uuid, now, TABLES_OF_A_DEVICE)
        learned = transfers.of_device(session, uuid, TABLES_OF_A_DEVICE)
    return page("device.html", here="/", now=now, record=record, tables=newest, transfers=learned)


@router.get("/tables/{id}")
def show_table(parts: Parts, id: UUID) -> Response:
    now = parts.clock()
    with parts.database.read() as session:
        table = tables.get(session, id)
        newest = calibrations.newest(session, id)
        calibration = calibrations.get(session, newest) if newest else None
    state = card_state(calibration.card if calibration else None, table.created_at, now)
    inside = {row.key: row.latency_us for row in calibration.rows} if calibration else {}
    return page("table.html", here="/", now=now, table=table, calibration=calibration, state=state, inside=inside)


@router.get("/tables/{id}/calibration.svg")
def draw_calibration(parts: Parts, id: UUID, phone: bool = False) -> Response:
    with parts.database.read() as session:
        calibration = calibrations.get(session, calibrations.require_newest(session, id))
    return picture(calibration_chart(calibration, phone))


@router.get("/tables/{id}/picture.svg")
def draw_table(parts: Parts, id: UUID, phone: bool = False) -> Response:
    with parts.database.read() as session:
        return picture(table_chart(tables.get(session, id), phone=phone))


@router.get("/compare")
def show_comparison(
    parts: Parts,
    table: Annotated[Sequence[UUID], Query(max_length=MAX_TABLES)] = (),
    allow_unlike: bool = False,
    more: bool = False,
) -> Response:
    """The comparison; or, for fewer than two tables or with `more`, the page to pick the next table from."""
    if len(table) >= 2 and not more:
        comparison = _compare(parts, table, allow_unlike)
        return page("compare.html", here="/compare", comparison=comparison, allow_unlike=allow_unlike)
    with parts.database.read() as session:
        picked = [tables.find(session, id) for id in table]
        newest = overview.newest_tables(session)
        conditions = {summary.id: overview.conditions(session, summary) for summary in (*picked, *newest)}
    fitting = [summary for summary in newest if summary.id not in table and _may_share(picked, summary)]
    unlike = {summary.id: differences([conditions[id] for id in (*table, summary.id)]) for summary in fitting}
    return page(
        "pick.html",
        here="/compare",
        now=parts.clock(),
        picked=picked,
        tables=sorted(fitting, key=lambda summary: bool(unlike[summary.id])),
        unlike=unlike,
        others=len(newest) - len(picked) - len(fitting),
    )


@router.get("/compare/picture.svg")
def draw_comparison(
    parts: Parts,
    table: Annotated[Sequence[UUID], Query(max_length=MAX_TABLES)] = (),
    allow_unlike: bool = False,
    phone: bool = False,
) -> Response:
    return picture(comparison_chart(_compare(parts, table, allow_unlike), phone=phone))


def _compare(parts: State, ids: Sequence[UUID], allow_unlike: bool) -> Comparison:
    with parts.database.read() as session:
        sides = load_sides(session, ids)
    return compare(sides, allow_unlike=allow_unlike)


def _may_share(picked: Sequence[TableSummary], table: TableSummary) -> bool:
    return all((table.space, table.space_digest) == (other.space, other.space_digest) for other in picked)
