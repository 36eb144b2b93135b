"""The server below a path of a proxy's address, where the proxy sends the path along: it is taken off before routing.

A proxy that takes the path off itself needs no setting: pages link by relative addresses.
"""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class BelowPath:
    """ASGI middleware. `path` begins with a slash and does not end with one. Other paths are served as they are."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app = app
        self._path = path
        self._raw = path.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == self._path:
            # Relative, so that scheme and host stay those of the proxy.
            await RedirectResponse(f"{self._path.rpartition('/')[2]}/", 308)(scope, receive, send)
        elif scope["path"].startswith(f"{self._path}/"):
            raw = scope.get("raw_path", b"")
            stripped = raw[len(self._raw) :] if raw.startswith(self._raw + b"/") else raw
            await self.app({**scope, "path": scope["path"][len(self._path) :], "raw_path": stripped}, receive, send)
        else:
            await self.app(scope, receive, send)
