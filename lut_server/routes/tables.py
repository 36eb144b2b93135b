from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, After, DeviceQuery, Limit, Lut, RuntimeQuery, State
from lut_server.schemas import Digest, LatencyTable, Mode, Name, Page, Precision, TableSummary
from lut_server.storage import tables

FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"

router = APIRouter(prefix="/tables", tags=["tables"], responses=documented(422, 503))
Format = Literal["json", "csv"]
IfNoneMatch = Annotated[str | None, Header(description="The ETag of what you have: 304 if it is still this.")]
TABLE: dict[int | str, dict[str, Any]] = {
    200: {"model": LatencyTable, "content": {"text/csv": {"schema": {"type": "string"}}}},
    304: {"description": "You have it already."},
}


@router.get("", operation_id="list_tables", summary="Tables without rows, oldest first", responses=documented(404))
def list_tables(
    lut: Lut,
    device: DeviceQuery | None = None,
    space: Name | None = None,
    space_digest: Digest | None = None,
    mode: Mode | None = None,
    precision: Precision | None = None,
    batch_size: Annotated[int | None, Query(gt=0, le=65536)] = None,
    threads: Annotated[int | None, Query(gt=0, le=4096)] = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[TableSummary]:
    wanted = tables.TableFilter(device, space, space_digest, mode, precision, batch_size, threads)
    with lut.database.read() as session:
        return tables.page(session, wanted, after, limit)


@router.get(
    "/newest",
    operation_id="get_newest_table",
    summary="The newest table of a device in exactly this runtime",
    response_model=LatencyTable,
    responses={**TABLE, **documented(404)},
)
def get_newest_table(
    lut: Lut,
    device: DeviceQuery,
    runtime: RuntimeQuery,
    space: Name | None = None,
    space_digest: Digest | None = None,
    format: Format = "json",
    if_none_match: IfNoneMatch = None,
) -> Response:
    with lut.database.read() as session:
        found = tables.find_newest(session, device, runtime, space, space_digest)
    return _answer(lut, found.id, format, if_none_match, ASK_AGAIN)


@router.get(
    "/{id}",
    operation_id="get_table",
    summary="One table",
    response_model=LatencyTable,
    responses={**TABLE, **documented(404)},
)
def get_table(lut: Lut, id: UUID, format: Format = "json", if_none_match: IfNoneMatch = None) -> Response:
    return _answer(lut, id, format, if_none_match, FOR_EVER)


def _answer(lut: State, id: UUID, format: Format, if_none_match: str | None, cache: str) -> Response:
    """The table as it was stored, or 304 without reading it."""
    etag = f'"{id}.{format}"'
    headers = {"ETag": etag, "Cache-Control": cache}
    known = {item.strip().removeprefix("W/") for item in (if_none_match or "").split(",")}
    with lut.database.read() as session:
        if known & {etag, "*"}:
            tables.find(session, id)
            return Response(status_code=304, headers=headers)
        if format == "csv":
            return Response(tables.to_csv(tables.get(session, id)), headers=headers, media_type="text/csv")
        return Response(tables.content(session, id), headers=headers, media_type="application/json")
