"""The token scheme and the answers of the gate, in the OpenAPI document: the docs page gets its Authorize button."""

import threading
from typing import Any

from fastapi import FastAPI

from lut_server.access.gate import READS, needs_token, noun_of
from lut_server.problems import documented

SCHEME = "token"


def describe_access(app: FastAPI) -> None:
    """Add the token scheme, and the answers that the gate gives, to the document of an app."""
    without_access = app.openapi
    turn = threading.Lock()

    def openapi() -> dict[str, Any]:
        with turn:  # nobody gets a document that is half made
            return described()

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = without_access()
            schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes[SCHEME] = {
                "type": "http",
                "scheme": "bearer",
                "description": "An access token, `lut_…`. Needed once the server has any.",
            }
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    _describe(path, method.upper(), operation)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation extends it


def _describe(path: str, method: str, operation: dict[str, Any]) -> None:
    statuses = {400}
    if needs_token(noun_of(path), method):
        operation["security"] = [{SCHEME: []}]
        statuses |= {401, 403, 429, 503}
    if method not in READS:
        statuses |= {408, 413, 415, 422}
    for status, answer in documented(*sorted(statuses)).items():
        operation["responses"].setdefault(str(status), answer)
