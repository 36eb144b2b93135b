"""Calibrations: what tables learned from measured networks, as JSON, CSV, a page or a picture."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from latency_tables.contract import Calibration, CalibrationSummary, Page
from lut_server.exchange import formats
from lut_server.nouns import Noun
from lut_server.pages import drawing, templating
from lut_server.pages.calibration_charts import calibration_chart
from lut_server.problems import documented
from lut_server.routes.caching import ASK_AGAIN, FOR_EVER, NOT_MODIFIED, IfNoneMatch
from lut_server.routes.state import DEFAULT_LIMIT, After, Limit, Parts, State
from lut_server.service.hot_tables import knows
from lut_server.storage import calibrations, tables

NOUN = Noun(
    "calibrations", tag="What tables learned from measured networks, and how far their predictions are off.", order=60
)
router = APIRouter(tags=[NOUN.name], responses=documented(404, 422, 503))
Form = Annotated[
    Literal["json", "csv", "html", "svg"],
    Query(description="`csv`: what operations cost inside networks and alone; `html`, `svg`: the error card."),
]
_CALIBRATION: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Calibration,
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            templating.MEDIA_TYPE: {},
            drawing.MEDIA_TYPE: {},
        },
    },
    **NOT_MODIFIED,
}


@router.get(
    "/tables/{id}/calibration",
    operation_id="get_table_calibration",
    summary="The newest calibration of a table, with its error card: as JSON, CSV, a readable page, or a picture",
    response_model=Calibration,
    responses=_CALIBRATION,
)
def get_table_calibration(parts: Parts, id: UUID, format: Form = "json", if_none_match: IfNoneMatch = None) -> Response:
    """What the table learned from networks that were measured end to end.

    A table is calibrated once three networks were measured under its conditions and their job is done, and again with
    each network that follows. The error card says how far predictions are off: each network is
    predicted from the others.
    """
    with parts.database.read() as session:
        newest = calibrations.require_newest(session, id)
    return _answer(parts, newest, format, if_none_match, ASK_AGAIN)


@router.get("/calibrations", operation_id="list_calibrations", summary="Calibrations without rows, oldest first")
def list_calibrations(
    parts: Parts, table: UUID | None = None, after: After = None, limit: Limit = DEFAULT_LIMIT
) -> Page[CalibrationSummary]:
    """Those of one table show how its predictions improved with each measured network."""
    with parts.database.read() as session:
        return calibrations.page(session, table, after, limit)


@router.get(
    "/calibrations/{id}",
    operation_id="get_calibration",
    summary="One calibration",
    response_model=Calibration,
    responses=_CALIBRATION,
)
def get_calibration(parts: Parts, id: UUID, format: Form = "json", if_none_match: IfNoneMatch = None) -> Response:
    return _answer(parts, id, format, if_none_match, FOR_EVER)


def _answer(parts: State, id: UUID, format: Form, if_none_match: str | None, cache_control: str) -> Response:
    """The calibration; its content is not read if the client has it already."""
    etag = f'"{id}.{format}"'
    with parts.database.read() as session:
        summary = calibrations.find(session, id)
        if knows(if_none_match, etag):
            return Response(status_code=304, headers={"ETag": etag, "Cache-Control": cache_control})
        content = calibrations.content(session, id)
        table = tables.get(session, summary.table_id) if format in ("csv", "html") else None
    if format == "json":
        body, media_type = content, "application/json"
    else:
        calibration = Calibration.model_validate_json(content)
        if format == "svg":
            return templating.picture(calibration_chart(calibration))
        assert table is not None
        if format == "html":
            return templating.document("calibration_document.html", calibration=calibration, table=table)
        body, media_type = formats.in_network_csv(table, calibration), formats.MEDIA_TYPES["csv"]
    return Response(body, headers={"ETag": etag, "Cache-Control": cache_control}, media_type=media_type)
