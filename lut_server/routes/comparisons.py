"""Comparisons of tables, as JSON, a page or a picture. Rules and queries are in analysis and storage."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args
from uuid import UUID

from fastapi import APIRouter, Query, Response

from latency_tables.contract import Comparison, Digest, Mode, Name, Precision, Text
from lut_server.analysis.comparison import MARGIN_REL, compare
from lut_server.nouns import Noun
from lut_server.pages import charts, drawing, templating
from lut_server.problems import documented
from lut_server.routes.state import BatchSize, Parts, Threads
from lut_server.storage.comparisons import MAX_TABLES, load_sides
from lut_server.storage.tables import TableFilter

NOUN = Noun(
    "comparisons", tag="Tables side by side: is one device faster, and do they rank alike?", order=90, write="read"
)
router = APIRouter(prefix="/comparisons", tags=[NOUN.name], responses=documented(422, 503))


@router.get(
    "",
    operation_id="compare_tables",
    summary="Compare tables with the first of them: as JSON, as a readable table, or as a picture",
    response_model=Comparison,
    responses={
        200: {"content": {templating.MEDIA_TYPE: {}, drawing.MEDIA_TYPE: {}}},
        **documented(404),
    },
)
def compare_tables(
    parts: Parts,
    table: Annotated[
        Sequence[UUID],
        Query(max_length=MAX_TABLES, description="Ids of tables; the first of all is the reference."),
    ] = (),
    device: Annotated[
        Sequence[Text],
        Query(
            max_length=MAX_TABLES,
            description="Devices by uuid, or by a name that is unique: the newest table of each, in each `mode`.",
        ),
    ] = (),
    mode: Annotated[
        Sequence[Mode], Query(min_length=1, max_length=len(get_args(Mode)), description="For `device`.")
    ] = ("pytorch",),
    precision: Annotated[Precision, Query(description="For `device`.")] = "fp32",
    batch_size: Annotated[BatchSize, Query(description="For `device`.")] = 1,
    threads: Annotated[Threads | None, Query(description="For `device`: any number if left out.")] = None,
    space: Annotated[Name | None, Query(description="For `device`: any if left out.")] = None,
    space_digest: Annotated[Digest | None, Query(description="For `device`: any if left out.")] = None,
    operation: Annotated[
        Sequence[Text], Query(max_length=100, description="Only operations of these names: all if left out.")
    ] = (),
    margin_rel: Annotated[
        float, Query(gt=0, le=1, description="A difference up to this does not matter: 0.02 is 2 %.")
    ] = MARGIN_REL,
    allow_unlike: Annotated[
        bool, Query(description="Compare also what differs in method, batch size, threads or software.")
    ] = False,
    format: Literal["json", "html", "svg"] = "json",
) -> Response:
    """Name two or more tables, by `table` or as the newest ones of `device`s.

    Only operations that all of them hold are compared; operations that one lacks are listed. A ratio above 1 is slower
    than the first table; its 95 % interval comes from resampling the measured blocks. The verdict is `same` if the
    whole interval lies within `margin_rel` of 1, `faster` or `slower` if the whole interval lies beyond it, and
    `ambiguous` otherwise. Tables of unlike methods, batch sizes, numbers of threads or software are refused (422)
    unless `allow_unlike`; unlike precisions are not: what does fp16 save? On a machine in doubt, intervals are wider by
    as much as its references scattered. Of very large tables an even choice of the shared operations is compared.
    """
    filters = [
        TableFilter(name, space, space_digest, table_mode, precision, batch_size, threads)
        for name in device
        for table_mode in mode
    ]
    with parts.database.read() as session:
        sides, left_out = load_sides(session, table, filters, operation)
    comparison = compare(sides, margin_rel, allow_unlike=allow_unlike, left_out=left_out)
    if format == "svg":
        return templating.picture(charts.comparison_chart(comparison))
    if format == "html":
        return templating.document("comparison_document.html", comparison=comparison)
    return Response(comparison.model_dump_json(), media_type="application/json")
