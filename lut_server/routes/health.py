"""Whether the server answers and can store, and what it counts: for monitoring, outside of /v1."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from latency_tables.contract import Problem
from lut_server.errors import NotReady
from lut_server.nouns import Noun
from lut_server.problems import documented
from lut_server.routes.state import Parts

NOUN = Noun("health", tag="Whether the server answers and can store; metrics.", order=120, prefix="")
router = APIRouter(tags=[NOUN.name])


@router.get("/healthz", operation_id="health", summary="Whether the server answers")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    operation_id="readiness",
    summary="Whether the server can store: schema up to date, database writable",
    responses={503: {"model": Problem, **documented(503)[503]}},
)
def readiness(parts: Parts) -> dict[str, str]:
    if parts.stopping():
        raise NotReady("the server is shutting down; ask another one")
    parts.readiness.check()
    return {"status": "ready"}


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(503)},
)
def metrics(parts: Parts) -> Response:
    """Requests by route and status, queue, leases, measurements by kind of device, age of the newest tables."""
    return Response(generate_latest(parts.registry), media_type=CONTENT_TYPE_LATEST)
