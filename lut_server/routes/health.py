from fastapi import APIRouter

from lut_server.schemas import Problem

router = APIRouter(tags=["health"])


@router.get(
    "/healthz",
    operation_id="health",
    summary="Whether the server answers",
    responses={503: {"model": Problem, "description": "The server is shutting down."}},
)
async def health() -> dict[str, str]:
    return {"status": "ok"}
