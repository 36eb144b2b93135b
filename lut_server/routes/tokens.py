from uuid import UUID

from fastapi import APIRouter

from latency_tables.contract import NewToken, Page, TokenRecord, TokenRequest, TokenRotation
from lut_server.access.auth import Principal
from lut_server.errors import Conflict, Forbidden
from lut_server.nouns import Noun
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, Caller, Limit, Lut
from lut_server.storage import tokens

NOUN = Noun("tokens", tag="Who may do what. Administrators only.", order=110, read="admin", write="admin")
router = APIRouter(prefix="/tokens", tags=[NOUN.name], responses=documented(422, 503))


@router.get("", operation_id="list_tokens", summary="All tokens: whose, what they may do, when they were last used")
def list_tokens(lut: Lut, after: UUID | None = None, limit: Limit = DEFAULT_LIMIT) -> Page[TokenRecord]:
    with lut.database.read() as session:
        return tokens.page(session, None if after is None else str(after), limit)


@router.put(
    "/{id}",
    operation_id="create_token",
    summary="Make a token under an id that you made (UUIDv7); its text is shown this once",
    responses=documented(409),
)
def create_token(lut: Lut, caller: Caller, id: UUID, request: TokenRequest) -> NewToken:
    """The first token is made on the server's machine: `lut-server token create --role admin`."""
    _require_token(caller)
    with lut.database.write() as session:
        return tokens.create(session, id, request, lut.access.key, lut.clock())


@router.post(
    "/{id}/rotation",
    operation_id="rotate_token",
    summary="Replace a token; the old one goes on for a while",
    responses=documented(404, 409),
)
def rotate_token(lut: Lut, caller: Caller, id: UUID, rotation: TokenRotation) -> NewToken:
    _require_token(caller)
    with lut.database.write() as session:
        return tokens.rotate(session, id, rotation, lut.access.key, lut.clock())


@router.delete(
    "/{id}",
    operation_id="revoke_token",
    summary="Revoke a token; it ends within 5 seconds",
    responses=documented(404, 409),
)
def revoke_token(lut: Lut, caller: Caller, id: UUID) -> TokenRecord:
    """A token cannot revoke itself, so that the last administrator is not locked out by mistake."""
    _require_token(caller)
    if caller.token == id:
        raise Conflict(
            f"id={id}: this is the token of this very request; revoke it with another one, "
            "or with `lut-server token revoke` on the server's machine",
            field="id",
            value=str(id),
        )
    with lut.database.write() as session:
        return tokens.revoke(session, id, lut.clock())


def _require_token(caller: Principal) -> None:
    """The first token closes the server to everybody else: only who has the machine may decide that."""
    if caller.token is None:
        raise Forbidden("the first token is made on the server's machine: lut-server token create --role admin")
