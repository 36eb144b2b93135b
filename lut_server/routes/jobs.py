"""Jobs: submitted by searches, read by everybody, cancelled."""

from uuid import UUID

from fastapi import APIRouter, Response

from latency_tables.contract import Job, JobRequest, JobState, Page
from lut_server.nouns import MIB, Noun
from lut_server.problems import documented
from lut_server.routes.state import DEFAULT_LIMIT, After, Limit, Parts, answer
from lut_server.storage import jobs

NOUN = Noun(
    "jobs",
    tag="Measurements to be made: operations of a search space, or networks end to end.",
    order=20,
    write="search",
    max_bytes=8 * MIB,  # 10 000 operations have about 4 MiB
)
router = APIRouter(prefix="/jobs", tags=[NOUN.name], responses=documented(422, 503))


@router.get("", operation_id="list_jobs", summary="All jobs, or those in one state, oldest first")
def list_jobs(
    parts: Parts, state: JobState | None = None, after: After = None, limit: Limit = DEFAULT_LIMIT
) -> Page[Job]:
    with parts.database.read() as session:
        return jobs.page(session, state, after, limit)


@router.get(
    "/{id}",
    operation_id="get_job",
    summary="One job and how far it is",
    response_model=Job,
    responses=documented(404),
)
def get_job(parts: Parts, id: UUID) -> Response:
    with parts.database.read() as session:
        job = jobs.get(session, id)
    return answer(job)


@router.put(
    "/{id}",
    operation_id="submit_job",
    summary="Queue a job under an id that you made (UUIDv7)",
    response_model=Job,
    responses=documented(404, 409),
)
def submit_job(parts: Parts, id: UUID, request: JobRequest) -> Response:
    with parts.database.write() as session:
        job = jobs.submit(session, id, request, parts.clock())
    return answer(job)


@router.delete("/{id}", operation_id="cancel_job", summary="Cancel a job", responses=documented(404, 409))
def cancel_job(parts: Parts, id: UUID) -> Job:
    with parts.database.write() as session:
        return jobs.cancel(session, id, parts.clock())
