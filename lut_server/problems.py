"""Every failure becomes an RFC 9457 problem document that names the field, the value and the way out."""

import errno
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from latency_tables.contract import MissingRows
from latency_tables.transfer.features import UnknownOperations
from lut_server.errors import ServiceError
from lut_server.logs import request_id
from lut_server.storage.database import unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
ERRORS_SHOWN = 20
VALUE_LENGTH = 200

log = logging.getLogger(__name__)

_WHEN = {
    400: "The request cannot be read.",
    401: "A token is needed, or the token is wrong, expired or revoked.",
    403: "The token may not do this; the answer says which role may.",
    408: "The body did not arrive in time.",
    404: "Not found; the answer lists what there is.",
    409: "The same id with other content, or a state that does not allow this.",
    410: "The lease has ended.",
    413: "The body is larger than this resource takes; the answer says how large it may be.",
    415: "The body is not declared as application/json.",
    422: "The request is not valid; the answer names field, value and the way out.",
    429: "Too many wrong tokens from this address. Try again after `Retry-After` seconds.",
    503: "Busy, or the database's disk is full; nothing was stored. Try again after `Retry-After` seconds.",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem answers of a route, for the docs page."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _WHEN[status], "content": content} for status in statuses}


class ShowProblem(Protocol):
    """A refusal as a page."""

    def __call__(
        self, request: Request, status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> Response: ...


def install(app: FastAPI, show: ShowProblem) -> None:
    """Answer with problem documents, whatever goes wrong; those who read in a browser get what `show` makes of them."""
    app.state.show_problem = show
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(MissingRows, _missing_rows)
    app.add_exception_handler(UnknownOperations, _missing_rows)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(UnicodeEncodeError, _not_unicode)
    app.add_exception_handler(SQLAlchemyError, database_error)
    app.add_exception_handler(OSError, _os_error)
    app.add_exception_handler(Exception, _defect)


def _problem(
    status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **extra: Any
) -> JSONResponse:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extra}
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


def refusal(error: ServiceError, request: Request) -> Response:
    headers = error.headers or ({"Retry-After": str(RETRY_AFTER_S)} if error.status == 503 else None)
    if is_for_a_page(request):
        return _page(request, error.status, error.title, str(error), headers)
    return _problem(error.status, error.title, str(error), headers, **error.extra)


def _page(request: Request, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    show: ShowProblem = request.app.state.show_problem
    return show(request, status, title, detail, headers=headers)


def is_for_a_page(request: Request) -> bool:
    """Whether somebody reads the answer in a browser."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")


def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return refusal(error, request)


def _missing_rows(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    assert isinstance(error, (MissingRows, UnknownOperations))
    missing = [operation.model_dump(mode="json") for operation in error.missing]
    return _problem(422, "Rows are missing", str(error), field="network", missing=missing)


def _validation_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(map(str, details["loc"])), "value": _shown(details.get("input")), "message": details["msg"]}
        for details in error.errors()[:ERRORS_SHOWN]
    ]
    detail = "; ".join(f"{first['field']}={first['value']}: {first['message']}" for first in errors[:3])
    return _problem(422, "Not valid", detail, errors=errors)


def _not_unicode(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    assert isinstance(error, UnicodeEncodeError)
    return _problem(422, "Not valid", f"{_shown(error.object)}: a text with half a surrogate pair is not Unicode")


def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if is_for_a_page(request):
        return _page(request, error.status_code, str(error.detail), f"{request.url.path}: no such page")
    headers = error.headers
    allowed = _allowed(request) if error.status_code == 405 else []
    if allowed:  # the router names the methods of one route; a path may have several routes
        headers = {**(headers or {}), "Allow": ", ".join(allowed)}
    detail = f"{request.method} {request.url.path}: {error.detail}. /docs lists all requests"
    return _problem(error.status_code, str(error.detail), detail, headers)


def _allowed(request: Request) -> list[str]:
    """The methods of a path."""
    paths = request.app.openapi()["paths"]
    path = request.url.path
    templates = (
        [path] if path in paths else [template for template in paths if compile_path(template)[0].fullmatch(path)]
    )
    return sorted({method.upper() for template in templates for method in paths[template]})


def database_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SQLAlchemyError)
    why = unavailable(error)
    if why is not None:
        log.warning("%s %s: %s (%s)", request.method, request.url.path, why, error)
        return _unavailable(why)
    if isinstance(error, DataError):
        return _problem(422, "Not valid", f"the database cannot hold a value: {_shown(str(error.orig))}")
    return _defect(request, error)


def _os_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OSError)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return _unavailable(f"the server cannot write: {error.strerror}")
    return _defect(request, error)


def _unavailable(why: str) -> JSONResponse:
    detail = f"{why}. Nothing was stored; try again"
    return _problem(503, "Not available now", detail, {"Retry-After": str(RETRY_AFTER_S)})


def _defect(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    id = request_id.get()
    detail = f"the server's log has the details, under request id {id}; nothing was stored"
    # This answer does not pass the middleware that adds the id to all others.
    return _problem(500, "A defect of the server", detail, {"X-Request-ID": id})


def _shown(value: object) -> str:
    """A value for a message: also NaN, which JSON does not know, and never long."""
    text = value if isinstance(value, str) else repr(value)
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"
