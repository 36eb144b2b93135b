"""The gate that every request passes first: whose it is, whether they may, and how large its body is."""

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lut_server import problems
from lut_server.access.auth import LOCAL, Access, Principal
from lut_server.access.bodies import read_body, replaying
from lut_server.errors import Forbidden, Malformed, NotJson, ServiceError, Unauthorized
from lut_server.nouns import Noun

PRINCIPAL = "lut.principal"
READS = frozenset({"GET", "HEAD", "OPTIONS"})
# First parts of paths that need no token: they show nothing of the database.
PUBLIC = frozenset({"healthz", "readyz", "docs", "openapi.json", "static", "static-offline-docs", "favicon.ico"})
# Open to all; with a token that may read, the answer also has examples from the database.
FULLER = frozenset({"openapi.json"})
NOSNIFF = (b"x-content-type-options", b"nosniff")


class Gate:
    """ASGI middleware; the Principal of a request is then in its scope. `nouns` by their name."""

    def __init__(self, app: ASGIApp, access: Access, nouns: Mapping[str, Noun]) -> None:
        self.app = app
        self._access = access
        self._nouns = nouns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_typed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), NOSNIFF]}
            await send(message)

        try:
            receive = await self._admit(scope, receive)
        except ServiceError as error:
            await problems.refusal(error, Request(scope))(scope, receive, send_typed)
        except SQLAlchemyError as error:
            await problems.database_error(Request(scope), error)(scope, receive, send_typed)
        else:
            await self.app(scope, receive, send_typed)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Check a request; returns what its body is to be received from."""
        method: str = scope["method"]
        name = noun_of(scope["path"])
        noun = self._nouns.get(name) or Noun(name)
        headers = _headers(scope)
        if b"%00" in scope["query_string"] or b"\0" in scope["query_string"] or "\0" in scope["path"]:
            raise Malformed("the address has a NUL character (%00); leave it out")
        if needs_token(name, method):
            try:
                principal = await self._principal(scope, headers)
            except Unauthorized as error:
                error.headers = _challenge(scope, headers, error)
                raise
            principal.require(noun, writes=method not in READS)
            scope[PRINCIPAL] = principal
        elif name in FULLER:
            with suppress(ServiceError):
                scope[PRINCIPAL] = await self._principal(scope, headers)
        if method in READS:
            return receive
        body = await read_body(receive, headers.get(b"content-length"), noun.max_bytes)
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        # A form or script of another page can send only other types without asking first.
        if body and media_type != b"application/json":
            raise NotJson(f"Content-Type={media_type.decode('latin-1')!r}: send application/json")
        return replaying(body, receive)

    async def _principal(self, scope: Scope, headers: dict[bytes, bytes]) -> Principal:
        authorization = headers.get(b"authorization")
        if await self._access.is_open():
            _require_local(headers)
            _require_same_origin(scope, headers)
            return LOCAL
        principal = await self._access.identify(authorization, (scope.get("client") or ("unknown",))[0])
        if authorization is not None and authorization[:5].lower() == b"basic":
            _require_same_origin(scope, headers)
        return principal


def needs_token(noun: str, method: str) -> bool:
    return noun not in PUBLIC or method not in READS


def noun_of(path: str) -> str:
    """The first part of a path after /v1."""
    parts = path.split("/", 3)
    return parts[2] if len(parts) > 2 and parts[1] == "v1" else parts[1] if len(parts) > 1 else ""


def _headers(scope: Scope) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) < len(scope["headers"]) and [name for name, _ in scope["headers"]].count(b"authorization") > 1:
        raise Malformed("Authorization: is repeated; send it once")
    return headers


def _require_local(headers: dict[bytes, bytes]) -> None:
    """While there are no tokens, refuse proxies, and host names that somebody pointed at 127.0.0.1 (DNS rebinding)."""
    if headers.keys() & {b"forwarded", b"x-forwarded-for", b"x-real-ip"}:
        raise Unauthorized(
            "this server is reached through a proxy and has no access tokens yet; make the first one on its machine: "
            "lut-server token create --role admin"
        )
    host = _split("Host", b"//" + headers.get(b"host", b"")).hostname or ""
    if "." in host and not host.endswith(".localhost") and not _is_address(host):
        raise Forbidden(
            f"Host={host!r}: without access tokens this server answers only by address or as localhost; "
            "make a token on its machine: lut-server token create --role admin"
        )


def _require_same_origin(scope: Scope, headers: dict[bytes, bytes]) -> None:
    """Refuse writes from pages of other sites: a browser adds its remembered password to them too."""
    if scope["method"] in READS:
        return
    # Browsers say it themselves where they can, and a page cannot change it; a proxy may have changed Host.
    site = headers.get(b"sec-fetch-site")
    origin = headers.get(b"origin")
    if site in (b"same-origin", b"none") or (site is None and origin is None):
        return
    if origin is None or _split("Origin", origin).netloc.encode("latin-1") != headers.get(b"host"):
        raise Forbidden("Origin: a page of another site may not write here; send the token as a Bearer token")


def _split(header: str, value: bytes) -> SplitResult:
    try:
        return urlsplit(value.decode("latin-1"))
    except ValueError as error:
        raise Malformed(f"{header}={value[:100].decode('latin-1')!r}: not an address ({error})") from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _challenge(scope: Scope, headers: dict[bytes, bytes], error: Unauthorized) -> dict[str, str]:
    """The WWW-Authenticate header: a browser is to ask for a name and a password (any name, the token)."""
    if not scope["path"].startswith("/v1/") and b"text/html" in headers.get(b"accept", b""):
        return {"WWW-Authenticate": 'Basic realm="lut-server: any name, the token as password", charset="UTF-8"'}
    invalid = ', error="invalid_token"' if error.extra.get("invalid") else ""
    return {"WWW-Authenticate": f'Bearer realm="lut-server"{invalid}'}
