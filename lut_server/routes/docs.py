"""The API page, and its OpenAPI document with examples from this very database."""

import logging

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from lut_server.access.gate import PRINCIPAL
from lut_server.pages.templating import page
from lut_server.routes.examples import with_examples
from lut_server.storage import examples
from lut_server.storage.database import Database
from lut_server.storage.examples import Found

log = logging.getLogger(__name__)


def install(app: FastAPI, database: Database) -> None:
    """Answer /docs and /openapi.json; whoever may not read gets the document without what the database holds."""

    async def describe(request: Request) -> Response:
        found = await run_in_threadpool(_find, database) if PRINCIPAL in request.scope else None
        return JSONResponse(with_examples(app.openapi(), found))

    async def show(request: Request) -> Response:  # noqa: ARG001
        return page("docs.html")

    assert app.openapi_url
    # In front of FastAPI's own, which has no examples.
    app.router.routes[:0] = [Route(app.openapi_url, describe), Route("/docs", show)]


def _find(database: Database) -> Found | None:
    try:
        with database.read() as session:
            return examples.find(session)
    except (SQLAlchemyError, OSError) as error:
        log.warning("the API page has no examples: %s", error)
        return None
