"""Tables: listed, fetched by id or as the newest one, imported from another server."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Query, Request, Response

from latency_tables.contract import Digest, LatencyTable, Mode, Name, Page, Precision, TableSummary
from lut_server.errors import Unprocessable
from lut_server.exchange import formats
from lut_server.exchange.formats import MEDIA_TYPES, Format
from lut_server.nouns import MIB, Noun
from lut_server.problems import documented
from lut_server.routes.caching import ASK_AGAIN, FOR_EVER, NOT_MODIFIED, IfNoneMatch
from lut_server.routes.state import (
    DEFAULT_LIMIT,
    After,
    BatchSize,
    DeviceQuery,
    Limit,
    Parts,
    RuntimeQuery,
    State,
    Threads,
)
from lut_server.service.hot_tables import NEWEST_FOR_S, HotAnswer, Target, target_of
from lut_server.storage import imports, tables

NOUN = Noun(
    "tables",
    tag="Immutable latency tables: one device, environment, runtime and search space.",
    order=50,
    write="admin",
    max_bytes=16 * MIB,
)
router = APIRouter(prefix="/tables", tags=[NOUN.name], responses=documented(422, 503))
_TABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "model": LatencyTable,
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            MEDIA_TYPES["parquet"]: {"schema": {"type": "string", "format": "binary"}},
        },
    },
    **NOT_MODIFIED,
}


@router.get("", operation_id="list_tables", summary="Tables without rows, oldest first", responses=documented(404))
def list_tables(
    parts: Parts,
    device: DeviceQuery | None = None,
    space: Name | None = None,
    space_digest: Digest | None = None,
    mode: Mode | None = None,
    precision: Precision | None = None,
    batch_size: BatchSize | None = None,
    threads: Threads | None = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[TableSummary]:
    filter = tables.TableFilter(device, space, space_digest, mode, precision, batch_size, threads)
    with parts.database.read() as session:
        return tables.page(session, filter, after, limit)


@router.get(
    "/newest",
    operation_id="get_newest_table",
    summary="The newest table of a device in exactly this runtime",
    response_model=LatencyTable,
    responses={**_TABLE, **documented(404)},
)
async def get_newest_table(
    parts: Parts,
    http: Request,
    device: DeviceQuery,
    runtime: RuntimeQuery,
    space: Name | None = None,
    space_digest: Digest | None = None,
    format: Format = "json",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """If several server processes share a database, a table that another one built is seen within a second."""
    target = target_of(http.scope)

    def read() -> HotAnswer:
        with parts.database.read() as session:
            id = tables.find_newest(session, device, runtime, space, space_digest).id
        return _answer(parts, target, id, format, if_none_match, ASK_AGAIN)

    # Threads of their own: readers do not wait behind writers that wait in line.
    read_once = partial(run_sync, read, limiter=parts.read_threads)
    return _response(await parts.hot_tables.read(target, if_none_match, read_once, NEWEST_FOR_S), if_none_match)


@router.put("/newest", include_in_schema=False)
async def put_newest_table() -> Response:
    """Refuse with 405: without this route `newest` would be taken for an id that is no UUID (422)."""
    raise HTTPException(405)


@router.get(
    "/{id}",
    operation_id="get_table",
    summary="One table",
    response_model=LatencyTable,
    responses={**_TABLE, **documented(404)},
)
async def get_table(
    parts: Parts, http: Request, id: UUID, format: Format = "json", if_none_match: IfNoneMatch = None
) -> Response:
    target = target_of(http.scope)
    read = partial(run_sync, _answer, parts, target, id, format, if_none_match, FOR_EVER, limiter=parts.read_threads)
    return _response(await parts.hot_tables.read(target, if_none_match, read), if_none_match)


@router.put(
    "/{id}",
    operation_id="import_table",
    summary="Store a table that another server built",
    responses=documented(409),
)
def import_table(
    parts: Parts,
    id: UUID,
    table: LatencyTable,
    digest: Annotated[Digest, Query(description="`content_digest` of the table on that server.")],
) -> TableSummary:
    """Its content must have the digest that it had there; otherwise nothing is stored (422)."""
    if table.id != id:
        raise Unprocessable(f"id={table.id}: the path says {id}; they must be equal", field="id", value=str(table.id))
    formats.require_digest(table, digest)
    with parts.database.write() as session:
        stored = imports.put(session, table, parts.clock())
    parts.hot_tables.built(table.device.uuid)
    return stored


def _answer(
    parts: State, target: Target, id: UUID, format: Format, if_none_match: str | None, cache_control: str
) -> HotAnswer:
    """The table as it was stored. Its content is not read if the client has it, or if it was the last answer."""
    last = parts.hot_tables.last(target)
    with parts.database.read() as session:
        device = tables.find(session, id).device
        unchanged = HotAnswer(device, f'"{id}.{format}"', cache_control, MEDIA_TYPES[format], None)
        if last is not None and last.body is not None and last.etag == unchanged.etag:
            return last
        if unchanged.is_known(if_none_match):
            return unchanged
        if format == "json":
            return replace(unchanged, body=tables.content(session, id))
        table = tables.get(session, id)
    return replace(unchanged, body=formats.write(table, format))


def _response(answer: HotAnswer, if_none_match: str | None) -> Response:
    if answer.body is None or answer.is_known(if_none_match):
        response = Response(status_code=304)
        response.raw_headers = list(answer.unchanged)
        return response
    response = Response(answer.body)
    response.raw_headers = list(answer.full)
    return response
