"""Transfers: devices without a table, by a few networks and other devices."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Response

from latency_tables.contract import (
    Digest,
    Name,
    Page,
    Proposal,
    ProposalRequest,
    Text,
    Transfer,
    TransferRequest,
    TransferSummary,
)
from lut_server.nouns import MIB, Noun
from lut_server.pages import templating
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, After, DeviceQuery, Limit, Parts, RuntimeQuery, answer
from lut_server.service.transferring import transfer_to
from lut_server.storage import transfers
from lut_server.storage.disagreements import told_apart

NOUN = Noun(
    "transfers",
    tag="What devices without a table are like, from a few measured networks and other devices.",
    order=65,
    write="search",
    max_bytes=8 * MIB,
)
router = APIRouter(prefix="/transfers", tags=[NOUN.name], responses=documented(422, 503))
Form = Annotated[Literal["json", "html"], Query(description="`html`: a readable page.")]


@router.get(
    "",
    operation_id="list_transfers",
    summary="Transfers without rows and evidence, oldest first",
    responses=documented(404),
)
def list_transfers(
    parts: Parts,
    device: Annotated[Text | None, Query(description="By uuid or name; all if left out.")] = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[TransferSummary]:
    """Those to one device show how it became known with each network."""
    with parts.database.read() as session:
        return transfers.page(session, device, after, limit)


@router.get(
    "/newest",
    operation_id="get_newest_transfer",
    summary="The newest transfer to a device",
    response_model=Transfer,
    responses=documented(404),
)
def get_newest_transfer(
    parts: Parts, device: DeviceQuery, space: Name, space_digest: Digest, runtime: RuntimeQuery
) -> Response:
    """A table of the device is another resource (/v1/tables/newest), which never answers with a transfer."""
    with parts.database.read() as session:
        transfer = transfers.newest(session, device, runtime, space, space_digest)
    return answer(transfer)


@router.put("/newest", include_in_schema=False)
@router.get("/proposals", include_in_schema=False)
@router.put("/proposals", include_in_schema=False)
def refuse_method() -> None:
    """Refuse with 405: without these routes `newest` and `proposals` would be taken for ids that are no UUIDs (422)."""
    raise HTTPException(405)


@router.get(
    "/{id}",
    operation_id="get_transfer",
    summary="One transfer: as JSON, or as a readable page",
    response_model=Transfer,
    responses={200: {"content": {templating.MEDIA_TYPE: {}}}, **documented(404)},
)
def get_transfer(parts: Parts, id: UUID, format: Form = "json") -> Response:
    with parts.database.read() as session:
        transfer = transfers.get(session, id)
        if format == "json":
            return answer(transfer)
        table_id, apart = told_apart(session, transfer)
    return templating.document("transfer_document.html", transfer=transfer, table_id=table_id, apart=apart)


@router.put(
    "/{id}",
    operation_id="make_transfer",
    summary="Learn a device from the networks that it has measured, under an id that you made (UUIDv7)",
    response_model=Transfer,
    responses=documented(404, 409),
)
def make_transfer(parts: Parts, id: UUID, request: TransferRequest) -> Response:
    """From three networks on. If nothing was measured since the newest transfer, that one is the answer.

    Every other device and runtime with a calibrated table of the space is a source, and every publication. A source
    that lacks operations of the measured networks is left out; without any, the request is refused (422).
    """
    return answer(transfer_to(parts.database, id, request, parts.clock()))


@router.post(
    "/proposals",
    operation_id="propose_networks",
    summary="Which networks would the device best measure next?",
    responses=documented(404),
)
def propose_networks(parts: Parts, request: ProposalRequest) -> Proposal:
    """Those after whose measurement the latencies of all the others are the least uncertain, by the sources."""
    with parts.database.read() as session:
        return transfers.propose(session, request)
