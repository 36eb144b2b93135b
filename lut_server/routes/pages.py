"""The web pages, in HTML for people: devices and their tables, the queue, networks, comparisons."""

import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from sqlalchemy.orm import Session

from latency_tables.contract import (
    MAX_NETWORKS,
    Comparison,
    Expectation,
    ExpectationRequest,
    MissingRows,
    Runtime,
    TableSummary,
    Text,
    share_in_time,
)
from latency_tables.validation import first_error
from lut_server.analysis.comparison import compare
from lut_server.analysis.error_card import card_state
from lut_server.analysis.likeness import differences
from lut_server.errors import NotFound, ServiceError, Unprocessable
from lut_server.nouns import Noun
from lut_server.pages.calibration_charts import calibration_chart
from lut_server.pages.charts import comparison_chart, expectation_chart, networks_chart, table_chart
from lut_server.pages.formatting import size
from lut_server.pages.problem import problem_page
from lut_server.pages.shown_table import ShownTable
from lut_server.pages.templating import BELOW, TOP, page, picture
from lut_server.routes.state import Caller, Parts, RuntimeQuery, State
from lut_server.storage import calibrations, devices, health, networks, overview, predictions, tables, transfers
from lut_server.storage.comparisons import MAX_TABLES, load_sides
from lut_server.storage.memory import remembered

TABLES_OF_A_DEVICE = 50
MAX_SHOWN = 16  # tables that are remembered as shown: one of 10 000 rows takes about 5 MB
MAX_COMPARED = 8
MAX_DEVICES = 4  # beside each other in a picture
ROWS = 200
RESULTS = 100  # of a network
Part = Annotated[int, Query(ge=0, le=100_000, description="Which part of a list, from 0.")]


class _PageRoute(APIRoute):
    """Refusals as pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except ServiceError as error:
                if "unlike" not in error.extra:
                    return problem_page(request, error.status, error.title, str(error))
                query = request.url.include_query_params(allow_unlike="true").query
                detail = f"{'; '.join(error.extra['unlike'])}. A difference need not come from the devices."
                return problem_page(request, error.status, "These tables are unlike", detail, f"?{query}")
            except RequestValidationError as error:
                first = error.errors()[0]
                field = next((part for part in reversed(first["loc"]) if isinstance(part, str)), "")
                detail = f"{field}={str(first.get('input'))[:100]!r}: {first['msg']}"
                return problem_page(request, 422, "This address is not valid", detail)

        return handle


NOUN = Noun("pages", prefix="")
router = APIRouter(include_in_schema=False, route_class=_PageRoute)
_JOBS = Noun("jobs", write="search")


@router.get("/")
def show_devices(parts: Parts, caller: Caller, part: Part = 0, hidden: bool = False) -> Response:
    now = parts.clock()
    with parts.database.read() as session:
        newest = overview.newest_devices(session, now, part, hidden=hidden)
        queue = overview.queue(session, now, active=5, ended=0)
        return page(
            "devices.html",
            TOP,
            here="",
            now=now,
            devices=newest,
            part=part,
            hidden=hidden,
            is_admin=caller.role == "admin",
            names=_names(session, queue),
            queue=queue,
            may_cancel=caller.may_write(_JOBS),
        )


@router.get("/queue")
def show_queue(parts: Parts, caller: Caller) -> Response:
    now = parts.clock()
    with parts.database.read() as session:
        queue = overview.queue(session, now)
        return page(
            "queue.html",
            TOP,
            here="queue",
            now=now,
            names=_names(session, queue),
            queue=queue,
            may_cancel=caller.may_write(_JOBS),
        )


@router.get("/networks")
def show_networks(parts: Parts, part: Part = 0) -> Response:
    with parts.database.read() as session:
        return page("networks.html", TOP, here="networks", part=part, networks=overview.newest_networks(session, part))


@router.get("/networks/picture.svg")
def draw_networks(parts: Parts, part: Part = 0, phone: bool = False) -> Response:
    with parts.database.read() as session:
        listed = overview.newest_networks(session, part).items
        chart = networks_chart([network.record for network in listed], phone=phone)
    if chart is None:
        raise NotFound("no network was measured on a device whose table is calibrated yet")
    return picture(chart)


@router.get("/networks/{digest}")
def show_network(parts: Parts, digest: str) -> Response:
    """One network: what it is, and its measurements with their dates."""
    with parts.database.read() as session:
        record, more = networks.listed(session, digest, RESULTS)
    return page("network.html", BELOW, here="networks", record=record, more=more)


PathsQuery = Annotated[
    Sequence[str],
    Query(max_length=MAX_NETWORKS, description="RATE:NETWORK:LABEL; the digest of a network that is stored."),
]
DeadlineQuery = Annotated[str, Query(max_length=30, description="Milliseconds; empty: none.")]


@router.get("/expectation")
def show_expectation(
    parts: Parts,
    request: Request,
    runtime: RuntimeQuery,
    path: PathsQuery = (),
    device: Text | None = None,
    deadline_ms: DeadlineQuery = "",
) -> Response:
    """A network whose cost depends on the input: its paths, their rates and latencies, and the mean."""
    deadline = _deadline(deadline_ms)
    asked, expectations = _expect(parts, path, device, runtime) if path else (None, ())
    rates = [each.rate for each in asked.paths] if asked else []
    items = request.query_params.multi_items()
    return page(
        "expectation.html",
        TOP,
        here="networks",
        paths=asked.paths if asked else (),
        expectations=expectations,
        deadline_ms=deadline,
        in_time=[share_in_time(rates, each.paths, 1000 * deadline) for each in expectations] if deadline else [],
        kept=[(name, value) for name, value in items if name != "deadline_ms"],
        query=urlencode(items),
    )


@router.get("/expectation/picture.svg")
def draw_expectation(
    parts: Parts,
    runtime: RuntimeQuery,
    path: PathsQuery,
    device: Text | None = None,
    deadline_ms: DeadlineQuery = "",
    phone: bool = False,
) -> Response:
    deadline = _deadline(deadline_ms)
    asked, expectations = _expect(parts, path, device, runtime)
    shown = expectations[:MAX_DEVICES]
    return picture(expectation_chart(asked.paths, shown, deadline and 1000 * deadline, phone=phone))


def _deadline(deadline_ms: str) -> float | None:
    """Milliseconds; an empty field of the form is none. Raises Unprocessable."""
    if not deadline_ms:
        return None
    try:
        deadline = float(deadline_ms)
    except ValueError:
        deadline = math.nan
    if not 0 < deadline < 1e9:
        raise Unprocessable(f"deadline_ms={deadline_ms!r}: give milliseconds above 0", field="deadline_ms")
    return deadline


def _expect(
    parts: State, given: Sequence[str], device: str | None, runtime: Runtime
) -> tuple[ExpectationRequest, Sequence[Expectation]]:
    """Raises NotFound for a network, device or table, Unprocessable for a path that is none or has no rows."""
    with parts.database.read() as session:
        paths = []
        for text in given:
            parts_of = text.split(":", 2)
            if len(parts_of) < 3:
                raise Unprocessable(f"path={text!r}: give RATE:NETWORK:LABEL, as 0.5:DIGEST:exit 1", field="path")
            rate, digest, label = parts_of
            paths.append({"label": label, "network": networks.get(session, digest).network, "rate": rate})
        try:
            asked = ExpectationRequest.model_validate({"paths": paths, "device": device, "runtime": runtime})
            return asked, predictions.expect(session, asked)
        except ValidationError as error:
            raise Unprocessable(first_error(error, "path"), field="path") from error
        except MissingRows as error:
            raise Unprocessable(str(error), field="path") from error


@router.get("/devices/{uuid}")
def show_device(parts: Parts, caller: Caller, uuid: str, part: Part = 0) -> Response:
    now = parts.clock()
    with parts.database.read() as session:
        record = devices.get(session, uuid)
        newest = health.of_device(session, uuid, now, TABLES_OF_A_DEVICE + 1, part * TABLES_OF_A_DEVICE)
        learned = transfers.of_device(session, uuid, TABLES_OF_A_DEVICE)
    return page(
        "device.html",
        BELOW,
        here="",
        now=now,
        record=record,
        tables=newest[:TABLES_OF_A_DEVICE],
        part=part,
        has_more=len(newest) > TABLES_OF_A_DEVICE,
        transfers=learned,
        is_admin=caller.role == "admin",
    )


@router.get("/tables/{id}")
def show_table(
    parts: Parts,
    id: UUID,
    part: Part = 0,
    operation: Annotated[str, Query(max_length=300)] = "",
    doubtful: bool = False,
    order: Literal["name", "latency"] = "name",
) -> Response:
    now = parts.clock()
    with parts.database.read() as session:
        summary = tables.find(session, id)
        shown = remembered(session, "shown tables", MAX_SHOWN, id, lambda: ShownTable.of(tables.content(session, id)))
        newest = calibrations.newest(session, id)
        calibration = calibrations.get(session, newest) if newest else None
    state = card_state(calibration.card if calibration else None, summary.created_at, now)
    rows = shown.rows(operation, doubtful_only=doubtful, by_latency=order == "latency")
    inside = {row.key: row.latency_us for row in calibration.rows} if calibration else {}
    return page(
        "table.html",
        BELOW,
        here="",
        now=now,
        table=shown,
        summary=summary,
        calibration=calibration,
        state=state,
        inside=inside,
        rows=[row.shown() for row in rows[part * ROWS : (part + 1) * ROWS]],
        first=part * ROWS,
        total=len(rows),
        part=part,
        has_more=len(rows) > (part + 1) * ROWS,
        chosen={"operation": operation, "doubtful": doubtful, "order": order},
    )


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
    part: Part = 0,
) -> Response:
    """The comparison; or, for fewer than two tables or with `more`, the page to pick the next table from."""
    if len(table) >= 2 and not more:
        comparison = _compare(parts, table, allow_unlike)
        return page(
            "compare.html",
            TOP,
            here="compare",
            comparison=comparison,
            allow_unlike=allow_unlike,
            part=part,
            first=part * ROWS,
            has_more=len(comparison.operations) > (part + 1) * ROWS,
            operations_shown=comparison.operations[part * ROWS : (part + 1) * ROWS],
        )
    with parts.database.read() as session:
        picked = [tables.find(session, id) for id in table]
        newest = overview.newest_tables(session, part, picked)
        conditions = overview.conditions(session, [*picked, *newest.items])
    unlike = {
        summary.id: [*differences([conditions[id] for id in (*table, summary.id)]), *_other_sizes(picked, summary)]
        for summary in newest.items
    }
    return page(
        "pick.html",
        TOP,
        here="compare",
        now=parts.clock(),
        picked=picked,
        tables=sorted(newest.items, key=lambda summary: bool(unlike[summary.id])),
        unlike=unlike,
        part=part,
        has_more=newest.has_more,
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
        key = (tuple(ids), allow_unlike)
        return remembered(session, "comparisons", MAX_COMPARED, key, lambda: _compare_now(session, ids, allow_unlike))


def _compare_now(session: Session, ids: Sequence[UUID], allow_unlike: bool) -> Comparison:
    sides, left_out = load_sides(session, ids)
    return compare(sides, allow_unlike=allow_unlike, left_out=left_out)


def _other_sizes(picked: Sequence[TableSummary], table: TableSummary) -> list[str]:
    """Tables of other input sizes share few operations, or none."""
    other = [summary for summary in picked if summary.largest_input != table.largest_input]
    return [f"inputs: up to {size(other[0].largest_input)} against up to {size(table.largest_input)}"] if other else []


def _names(session: Session, queue: overview.Queue) -> dict[str, str]:
    """The names of the devices that jobs of a queue were asked for."""
    jobs = (*queue.running, *queue.queued, *queue.ended)
    return overview.device_names(session, {job.brief.device.uuid for job in jobs if job.brief.device.uuid})
