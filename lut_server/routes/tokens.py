"""Access tokens over HTTP; the first one is made on the command line."""

from uuid import UUID

from fastapi import APIRouter

from latency_tables.contract import NewToken, Page, TokenRecord, TokenRequest, TokenRotation
from lut_server.access.auth import Principal
from lut_server.errors import Conflict, Forbidden
from lut_server.nouns import Noun
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, Caller, Limit, Parts
from lut_server.storage import tokens

NOUN = Noun("tokens", tag="Access tokens and their roles. Administrators only.", order=110, read="admin", write="admin")
router = APIRouter(prefix="/tokens", tags=[NOUN.name], responses=documented(422, 503))


@router.get("", operation_id="list_tokens", summary="All tokens: owner, role, last use")
def list_tokens(parts: Parts, after: UUID | None = None, limit: Limit = DEFAULT_LIMIT) -> Page[TokenRecord]:
    with parts.database.read() as session:
        return tokens.page(session, None if after is None else str(after), limit)


@router.put(
    "/{id}",
    operation_id="create_token",
    summary="Make a token under an id that you made (UUIDv7); its text is shown only once",
    responses=documented(409),
)
def create_token(parts: Parts, caller: Caller, id: UUID, request: TokenRequest) -> NewToken:
    """The first token is made on the server's machine: `lut-server token create --role admin`."""
    _require_token(caller)
    with parts.database.write() as session:
        return tokens.create(session, id, request, parts.access.key, parts.clock())


@router.post(
    "/{id}/rotation",
    operation_id="rotate_token",
    summary="Replace a token; the old one stays valid for the overlap",
    responses=documented(404, 409),
)
def rotate_token(parts: Parts, caller: Caller, id: UUID, rotation: TokenRotation) -> NewToken:
    _require_token(caller)
    with parts.database.write() as session:
        return tokens.rotate(session, id, rotation, parts.access.key, parts.clock())


@router.delete(
    "/{id}",
    operation_id="revoke_token",
    summary="Revoke a token; it ends within 5 seconds",
    responses=documented(404, 409),
)
def revoke_token(parts: Parts, caller: Caller, id: UUID) -> TokenRecord:
    """A token cannot revoke itself, so that the last administrator is not locked out by mistake."""
    _require_token(caller)
    if caller.token == id:
        raise Conflict(
            f"id={id}: this is the token of this very request; revoke it with another one, "
            "or with `lut-server token revoke` on the server's machine",
            field="id",
            value=str(id),
        )
    with parts.database.write() as session:
        return tokens.revoke(session, id, parts.clock())


def _require_token(caller: Principal) -> None:
    """The first token closes the server to everybody else, so it is made by somebody who has its machine."""
    if caller.token is None:
        raise Forbidden("the first token is made on the server's machine: lut-server token create --role admin")
