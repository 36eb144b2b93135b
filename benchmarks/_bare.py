"""The same bytes from a bare FastAPI route and a bare Starlette one."""

import os
from pathlib import Path

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = Path(os.environ["BARE_BODY"]).read_bytes() if "BARE_BODY" in os.environ else b""
ETAG = {"ETag": '"x"'}

fast = FastAPI()


@fast.get("/table")
async def table() -> Response:
    return Response(BODY, media_type="application/json")


@fast.get("/unchanged")
async def unchanged() -> Response:
    return Response(status_code=304, headers=ETAG)


async def _table(request: Request) -> Response:  # noqa: ARG001
    return Response(BODY, media_type="application/json")


async def _unchanged(request: Request) -> Response:  # noqa: ARG001
    return Response(status_code=304, headers=ETAG)


starlette = Starlette(routes=[Route("/table", _table), Route("/unchanged", _unchanged)])
