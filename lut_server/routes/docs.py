"""The API page, and its OpenAPI document with examples from this very database."""

import logging

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from lut_server.access.gate import PRINCIPAL
from lut_server.pages.templating import TOP, page
from lut_server.routes.examples import with_examples
from lut_server.storage import examples
from lut_server.storage.database import Database
from lut_server.storage.examples import Examples

log = logging.getLogger(__name__)


def install(app: FastAPI, database: Database, root_path: str = "") -> None:
    """Answer /docs and /openapi.json; without a token that may read, the document has no examples from the database."""

    async def describe(request: Request) -> Response:
        rows = await run_in_threadpool(_find, database) if PRINCIPAL in request.scope else None
        document = with_examples(app.openapi(), rows)
        return JSONResponse({**document, "servers": [{"url": root_path}]} if root_path else document)

    async def show(request: Request) -> Response:  # noqa: ARG001
        return page("docs.html", TOP)

    assert app.openapi_url
    # Before FastAPI's own route, which has no examples; it offers no other way to replace it.
    app.router.routes[:0] = [Route(app.openapi_url, describe), Route("/docs", show)]


def _find(database: Database) -> Examples | None:
    try:
        with database.read() as session:
            return examples.find(session)
    except (SQLAlchemyError, OSError) as error:
        log.warning("the API page has no examples: %s", error)
        return None
