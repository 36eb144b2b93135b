"""Every request gets an id, is counted in the metrics, and gets a line in the log. Pure ASGI: it costs microseconds."""

import logging
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lut_server.logs import request_id
from lut_server.service.metrics import Requests

HEADER = b"x-request-id"
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = logging.getLogger("lut_server.access")
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class ObserveRequests:
    """ASGI middleware. A request keeps a well-formed X-Request-ID of its client, who finds it in the log that way."""

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self.app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        id = _client_id(scope) or secrets.token_hex(8).encode()
        request_id.set(id.decode())
        status = 500
        mounted_at = scope.get("root_path", "")

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (HEADER, id)]}
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            method, route = scope["method"], _route(scope, mounted_at)
            self._requests.observe(method if method in METHODS else "OTHER", route, status, seconds)
            if log.isEnabledFor(logging.INFO):
                _log_access(scope, method, route, status, round(seconds * 1000, 2))


def _log_access(scope: Scope, method: str, route: str, status: int, duration_ms: float) -> None:
    # The raw path is percent-encoded: no client can write lines of its own into the log.
    path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")
    # Logger.info would walk the stack for a line number that no line shows: 48 µs instead of 30, of 90 per request.
    values = (method, path, status, duration_ms)
    record = logging.LogRecord(log.name, logging.INFO, __file__, 0, "%s %s %d %.2f ms", values, None)
    record.fields = {"method": method, "path": path, "route": route, "status": status, "duration_ms": duration_ms}
    log.handle(record)


def _client_id(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == HEADER:
            return value if _WELL_FORMED.fullmatch(value) else None
    return None


def _route(scope: Scope, mounted_at: str) -> str:
    """The path with names instead of parameters: as many as there are routes and mounts."""
    path: str = scope["path"]
    if scope.get("hot"):
        return path if path.endswith("/newest") else f"{path.rpartition('/')[0]}/{{id}}"
    if "endpoint" not in scope:
        return UNMATCHED
    if scope.get("root_path", "") != mounted_at:
        return f"{scope['root_path']}/*"
    end = len(path)
    for name, value in reversed(scope.get("path_params", {}).items()):
        start = path.rfind(f"/{value}", 0, end)
        if start >= 0:
            path = f"{path[: start + 1]}{{{name}}}{path[start + 1 + len(str(value)) :]}"
            end = start
    return path
