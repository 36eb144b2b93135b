"""Publications: read by everybody; the command `lut-server publish` stores them."""

from uuid import UUID

from fastapi import APIRouter, Response

from latency_tables.contract import Name, Page, Publication, PublicationSummary
from lut_server.nouns import Noun
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, After, Limit, Parts, answer
from lut_server.storage import publications

NOUN = Noun("publications", tag="Published latencies of whole networks, on devices that have no agent here.", order=66)
router = APIRouter(prefix="/publications", tags=[NOUN.name], responses=documented(422, 503))


@router.get("", operation_id="list_publications", summary="Publications without their latencies, oldest first")
def list_publications(
    parts: Parts, space: Name | None = None, after: After = None, limit: Limit = DEFAULT_LIMIT
) -> Page[PublicationSummary]:
    """Those of one space, or all. `lut-server publish` stores them."""
    with parts.database.read() as session:
        return publications.page(session, space, after, limit)


@router.get(
    "/{id}",
    operation_id="get_publication",
    summary="One publication",
    response_model=Publication,
    responses=documented(404),
)
def get_publication(parts: Parts, id: UUID) -> Response:
    with parts.database.read() as session:
        publication = publications.get(session, id)
    return answer(publication)
