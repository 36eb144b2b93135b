from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from lut_server.comparison import compare
from lut_server.errors import Unprocessable
from lut_server.problems import documented
from lut_server.routes.state import Lut
from lut_server.schemas import Comparison
from lut_server.storage import tables

MAX_TABLES = 10

router = APIRouter(prefix="/comparisons", tags=["comparisons"], responses=documented(422, 503))


@router.get(
    "", operation_id="compare_tables", summary="Compare tables with the first of them", responses=documented(404)
)
def compare_tables(
    lut: Lut,
    table: Annotated[
        list[UUID], Query(min_length=2, max_length=MAX_TABLES, description="Ids of tables; the first is the reference.")
    ],
) -> Comparison:
    """Only operations that all of them hold are compared; those missing in one are listed."""
    with lut.database.read() as session:
        summaries = [tables.find(session, id) for id in table]
        comparison = compare([tables.get(session, id) for id in table], summaries)
    if not comparison.operations:
        spaces = ", ".join(f"{item.space} {item.space_digest[:12]}" for item in summaries)
        raise Unprocessable(
            f"table: these tables share no operation (spaces: {spaces}); compare tables of one definition of a space",
            field="table",
        )
    return comparison
