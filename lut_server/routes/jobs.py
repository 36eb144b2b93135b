"""Jobs: submitted by searches, read by everybody, cancelled."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException, Query, Response

from latency_tables.contract import Forecast, Job, JobRequest, JobState, Page
from lut_server.nouns import MIB, Noun
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, After, Caller, Limit, Parts, answer
from lut_server.storage import jobs

NOUN = Noun(
    "jobs",
    tag="Measurements to be made: operations of a search space, or networks end to end.",
    order=20,
    write="search",
    max_bytes=8 * MIB,  # 10 000 operations have about 4 MiB
)
router = APIRouter(prefix="/jobs", tags=[NOUN.name], responses=documented(422, 503))


RequestedBy = Annotated[
    str | None,
    Header(pattern=r"^[A-Za-z0-9_.@-]*$", max_length=100, description="Who asks, for people: user and machine."),
]


@router.get(
    "", operation_id="list_jobs", summary="All jobs, or those in one state, oldest first", response_model=Page[Job]
)
def list_jobs(
    parts: Parts,
    state: Annotated[JobState | Literal["running"] | None, Query(description="`running` is `leased`.")] = None,
    after: After = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Where requests are large a page has fewer than `limit` jobs; `next` goes on."""
    with parts.database.read() as session:
        page = jobs.page(session, "leased" if state == "running" else state, after, limit, parts.clock())
    return Response(page, media_type="application/json")


@router.post(
    "/forecasts",
    operation_id="forecast_job",
    summary="What a job would measure, when and for how long; queues nothing",
    responses=documented(404),
)
def forecast_job(parts: Parts, request: JobRequest) -> Forecast:
    """Refused as the job would be: what no device that it names can do."""
    with parts.database.read() as session:
        return jobs.forecast(session, request, parts.clock())


@router.get("/forecasts", include_in_schema=False)
@router.put("/forecasts", include_in_schema=False)
@router.delete("/forecasts", include_in_schema=False)
def refuse_method() -> None:
    """Refuse with 405: without these routes `forecasts` would be taken for an id that is no UUID (422)."""
    raise HTTPException(405)


@router.get(
    "/{id}",
    operation_id="get_job",
    summary="One job and how far it is",
    response_model=Job,
    responses=documented(404),
)
def get_job(parts: Parts, id: UUID) -> Response:
    with parts.database.read() as session:
        job = jobs.get(session, id, parts.clock())
    return Response(job, media_type="application/json")


@router.put(
    "/{id}",
    operation_id="submit_job",
    summary="Queue a job under an id that you made (UUIDv7)",
    response_model=Job,
    responses=documented(404, 409),
)
def submit_job(
    parts: Parts, caller: Caller, id: UUID, request: JobRequest, requested_by: RequestedBy = None
) -> Response:
    """What no device that it names can do, as their agents found, is refused at once."""
    who = [requested_by, caller.name and f"token {caller.name}"]
    with parts.database.write() as session:
        job = jobs.submit(session, id, request, parts.clock(), ", ".join(filter(None, who)) or None)
    return answer(job)


@router.delete("/{id}", operation_id="cancel_job", summary="Cancel a job", responses=documented(404, 409))
def cancel_job(parts: Parts, id: UUID) -> Job:
    with parts.database.write() as session:
        return jobs.cancel(session, id, parts.clock())
