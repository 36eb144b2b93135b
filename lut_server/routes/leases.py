"""Leases: an agent claims a job, renews its lease, and completes it or gives it back."""

import time
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from latency_tables.contract import Completion, Job, Lease, LeaseRenewal, LeaseRequest, Progress
from lut_server.access.auth import Principal
from lut_server.nouns import Noun
from lut_server.problems import documented
from lut_server.routes.state import Caller, Parts, State, answer
from lut_server.service.completion import complete
from lut_server.storage import leases

NOUN = Noun(
    "leases",
    tag="How an agent claims a job, keeps it and ends it. Not for people.",
    order=30,
    read="agent",
    write="agent",
    of_device=True,
)
router = APIRouter(prefix="/leases", tags=[NOUN.name], responses=documented(422, 503))
LeaseToken = Annotated[str, Header(description="`token` of the lease.", max_length=300)]


@router.post(
    "",
    operation_id="claim_lease",
    summary="Claim a job for a device, waiting for one",
    response_model=Lease,
    responses={204: {"description": "No job for this device in `wait_s`."}, **documented(404, 409)},
)
async def claim_lease(parts: Parts, caller: Caller, http: Request, request: LeaseRequest) -> Response:
    """The answer comes at once, or when there is work, or after `wait_s`."""
    caller.require_device(request.device)
    give_up_at = time.monotonic() + request.wait_s
    lease = await run_in_threadpool(_claim, parts, request)
    while lease is None:
        left_s = give_up_at - time.monotonic()
        if left_s <= 0 or parts.stopping():
            return Response(status_code=204)
        await parts.waiting_room.wait(request.device, left_s)
        # A client that hung up may have asked again with the same id: do not take the lease away from that request.
        if await http.is_disconnected():
            return Response(status_code=204)
        lease = await run_in_threadpool(_claim, parts, request)
    return lease


@router.patch(
    "/{id}",
    operation_id="renew_lease",
    summary="Keep a lease and report progress",
    response_model=LeaseRenewal,
    responses=documented(404, 410),
)
def renew_lease(parts: Parts, caller: Caller, id: UUID, lease_token: LeaseToken, progress: Progress) -> Response:
    with parts.database.write() as session:
        _require_own(session, caller, id)
        renewal = leases.renew(session, id, lease_token, progress, parts.clock())
    return answer(renewal)


@router.post(
    "/{id}/completion",
    operation_id="complete_lease",
    summary="End a lease: its job is done, or failed with an error",
    response_model=Job,
    responses=documented(404, 409, 410),
)
def complete_lease(parts: Parts, caller: Caller, id: UUID, lease_token: LeaseToken, completion: Completion) -> Response:
    """A job that is done has its table, and the table its calibration: all of them are stored at once."""
    with parts.database.read() as session:
        device = leases.device_of(session, id)
    caller.require_device(device)
    job = complete(parts.database, id, lease_token, completion, parts.clock)
    parts.hot_tables.built(device)
    return answer(job)


@router.delete(
    "/{id}",
    operation_id="give_back_lease",
    summary="Return the job to the queue; this is not counted as an attempt",
    status_code=204,
    responses=documented(404, 410),
)
def give_back_lease(parts: Parts, caller: Caller, id: UUID, lease_token: LeaseToken) -> None:
    with parts.database.write() as session:
        _require_own(session, caller, id)
        leases.give_back(session, id, lease_token, parts.clock())


def _require_own(session: Session, caller: Principal, id: UUID) -> None:
    if caller.device is not None:
        caller.require_device(leases.device_of(session, id))


def _claim(parts: State, request: LeaseRequest) -> Response | None:
    with parts.database.write() as session:
        lease = leases.claim(session, request, parts.clock())
    return None if lease is None else answer(lease)
