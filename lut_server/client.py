"""LutClient: a method per resource of the lookup-table server, one retry policy, one small exception tree.

Every call may be repeated safely, because the client makes the ids: so every call is retried on connection
errors, timeouts and a busy server.
"""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

import httpx
import uuid6
from pydantic import TypeAdapter, ValidationError

from lut_server.schemas import (
    Completion,
    Contract,
    DeviceRecord,
    DeviceReport,
    Job,
    JobRequest,
    JobState,
    LatencyTable,
    Lease,
    LeaseRenewal,
    LeaseRequest,
    Measurement,
    NetworkRecord,
    NetworkSpec,
    Page,
    Problem,
    Progress,
    Receipt,
    Runtime,
    TableSummary,
)

Answer = TypeVar("Answer")
Query = Mapping[str, str | int | None]

RETRIED = frozenset({502, 503, 504})
FIRST_DELAY_S = 0.1
MAX_DELAY_S = 10.0
PAGE_LIMIT = 1000
BATCH = 500


class LutError(Exception):
    """Anything that the server or the way to it answered; the message says what to do."""

    def __init__(self, message: str, *, status: int | None = None, problem: Problem | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


class ServerUnavailable(LutError):
    """No answer, or only 503, for as long as the client retries."""


class NotFound(LutError):
    """404: the message names what there is instead."""


class Conflict(LutError):
    """409: the same id with other content, or a state that does not allow it."""


class LeaseLost(LutError):
    """410: the lease ended or another token holds it; stop working on its job."""


class Rejected(LutError):
    """422 and any other 4xx: the message names field, value and the way out."""


class JobFailed(LutError):
    """The job that was waited for failed or was cancelled."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} {job.state}: {job.error or 'no reason given'}")
        self.job = job


_BODY: TypeAdapter[Any] = TypeAdapter(Any)
_LEASE: TypeAdapter[Lease | None] = TypeAdapter(Lease | None)
_NOTHING: TypeAdapter[None] = TypeAdapter(None)
_ERRORS: dict[int, type[LutError]] = {404: NotFound, 409: Conflict, 410: LeaseLost}


class LutClient:
    """Talks to a lookup-table server at `url`; usable as a context manager and from several threads.

    A request is given up after `timeout_s` without an answer and repeated, with full jitter and honouring
    Retry-After, until `retry_for_s` have passed; then ServerUnavailable.

    Raises:
        ValueError: `url` is not an http(s) URL.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = 30, retry_for_s: float = 60) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"url={url!r}: {error}; give it like http://127.0.0.1:8000") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"url={url!r}: not an http(s) URL; give it like http://127.0.0.1:8000")
        self._url = url
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            # A proxy from the environment cannot reach this machine's loopback.
            trust_env=parsed.host not in ("127.0.0.1", "localhost", "::1"),
        )

    def __enter__(self) -> "LutClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def register_device(self, report: DeviceReport) -> DeviceRecord:
        return self._call(TypeAdapter(DeviceRecord), "PUT", f"/v1/devices/{report.device.uuid}", report)

    def devices(self) -> list[DeviceRecord]:
        return self._list(TypeAdapter(Page[DeviceRecord]), "/v1/devices")

    def device(self, uuid: str) -> DeviceRecord:
        return self._call(TypeAdapter(DeviceRecord), "GET", f"/v1/devices/{uuid}")

    def submit_job(self, request: JobRequest, id: UUID | None = None) -> Job:
        """Queue a job; the same `id` with the same request is the same job."""
        return self._call(TypeAdapter(Job), "PUT", f"/v1/jobs/{id or uuid6.uuid7()}", request)

    def job(self, id: UUID) -> Job:
        return self._call(TypeAdapter(Job), "GET", f"/v1/jobs/{id}")

    def jobs(self, state: JobState | None = None) -> list[Job]:
        return self._list(TypeAdapter(Page[Job]), "/v1/jobs", {"state": state})

    def cancel_job(self, id: UUID) -> Job:
        return self._call(TypeAdapter(Job), "DELETE", f"/v1/jobs/{id}")

    def wait_for_job(self, id: UUID, on_progress: Callable[[Job], None] | None = None, poll_s: float = 1.0) -> Job:
        """Wait until the job is done; `on_progress` sees the job whenever it changed.

        Raises:
            JobFailed: it failed or was cancelled.
        """
        seen: Job | None = None
        while True:
            job = self.job(id)
            if on_progress and job != seen:
                on_progress(job)
            if job.state == "done":
                return job
            if job.state in ("failed", "cancelled"):
                raise JobFailed(job)
            seen = job
            time.sleep(poll_s)

    def claim(self, request: LeaseRequest) -> Lease | None:
        """Ask for work, waiting on the server for up to `request.wait_s`; None if there was none."""
        return self._call(_LEASE, "POST", "/v1/leases", request, timeout_s=self._timeout_s + request.wait_s)

    def renew(self, lease_id: UUID, token: str, progress: Progress) -> LeaseRenewal:
        """Keep a lease and tell how far it is.

        Raises:
            LeaseLost: it had ended.
        """
        return self._call(TypeAdapter(LeaseRenewal), "PATCH", f"/v1/leases/{lease_id}", progress, lease_token=token)

    def complete(self, lease_id: UUID, token: str, completion: Completion) -> Job:
        """End a lease and its job.

        Raises:
            Conflict: keys of the job are not measured yet (the message names them).
            LeaseLost: the job had ended otherwise.
        """
        return self._call(TypeAdapter(Job), "POST", f"/v1/leases/{lease_id}/completion", completion, lease_token=token)

    def give_back(self, lease_id: UUID, token: str) -> None:
        """Return the job to the queue; this does not count as an attempt."""
        self._call(_NOTHING, "DELETE", f"/v1/leases/{lease_id}", lease_token=token)

    def put_measurement(self, measurement: Measurement) -> Receipt:
        return self._call(TypeAdapter(Receipt), "PUT", f"/v1/measurements/{measurement.id}", measurement)

    def put_measurements(self, measurements: list[Measurement]) -> list[Receipt]:
        """Store measurements, each batch of at most 500 as a whole or not at all; receipts in the same order."""
        receipts: list[Receipt] = []
        for start in range(0, len(measurements), BATCH):
            receipts += self._call(
                TypeAdapter(list[Receipt]), "POST", "/v1/measurements", measurements[start : start + BATCH]
            )
        return receipts

    def measurements(
        self, *, key: str | None = None, device: str | None = None, job_id: UUID | None = None
    ) -> list[Measurement]:
        query = {"key": key, "device": device, "job_id": str(job_id) if job_id else None}
        return self._list(TypeAdapter(Page[Measurement]), "/v1/measurements", query)

    def tables(
        self,
        *,
        device: str | None = None,
        space: str | None = None,
        space_digest: str | None = None,
        mode: str | None = None,
        precision: str | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
    ) -> list[TableSummary]:
        """Tables for which every given field is equal, oldest first."""
        query = {
            "device": device,
            "space": space,
            "space_digest": space_digest,
            "mode": mode,
            "precision": precision,
            "batch_size": batch_size,
            "threads": threads,
        }
        return self._list(TypeAdapter(Page[TableSummary]), "/v1/tables", query)

    def table(self, id: UUID) -> LatencyTable:
        return self._call(TypeAdapter(LatencyTable), "GET", f"/v1/tables/{id}")

    def newest_table(
        self,
        device: str,
        space: str,
        runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
        space_digest: str | None = None,
    ) -> LatencyTable:
        """The newest table of exactly this runtime; `device` is a uuid, or a name that only one device has.

        Raises:
            NotFound: no such device or table; the message names those there are.
        """
        query = {"device": device, "space": space, "space_digest": space_digest, **runtime.model_dump(mode="json")}
        return self._call(TypeAdapter(LatencyTable), "GET", "/v1/tables/newest", query=query)

    def put_network(self, network: NetworkSpec) -> NetworkRecord:
        return self._call(TypeAdapter(NetworkRecord), "PUT", f"/v1/networks/{network.digest}", network)

    def network(self, digest: str) -> NetworkRecord:
        return self._call(TypeAdapter(NetworkRecord), "GET", f"/v1/networks/{digest}")

    def networks(self) -> list[NetworkRecord]:
        return self._list(TypeAdapter(Page[NetworkRecord]), "/v1/networks")

    def _list(self, page: TypeAdapter[Page[Answer]], path: str, query: Query | None = None) -> list[Answer]:
        found: list[Answer] = []
        after: str | None = None
        while True:
            part = self._call(page, "GET", path, query={**(query or {}), "after": after, "limit": PAGE_LIMIT})
            found += part.items
            after = part.next
            if after is None:
                return found

    def _call(
        self,
        answer: TypeAdapter[Answer],
        method: str,
        path: str,
        body: Contract | list[Any] | None = None,
        *,
        query: Query | None = None,
        lease_token: str | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send, retry, and turn the answer into `answer` or the exception that its status stands for."""
        request = self._http.build_request(
            method,
            path,
            params={name: value for name, value in (query or {}).items() if value is not None},
            content=None if body is None else _BODY.dump_json(body),
            headers={
                **({"Content-Type": "application/json"} if body is not None else {}),
                **({"Lease-Token": lease_token} if lease_token is not None else {}),
            },
            timeout=timeout_s or self._timeout_s,
        )
        response = self._send(request)
        if not response.is_success:
            raise _error(response)
        try:
            return answer.validate_json(response.content or b"null")
        except ValidationError as error:
            first = error.errors()[0]
            raise LutError(
                f"{method} {request.url}: the answer is not what this client knows ({first['msg']} at {first['loc']}); "
                "is a lut-server of this version there?",
                status=response.status_code,
            ) from error

    def _send(self, request: httpx.Request) -> httpx.Response:
        give_up_at = time.monotonic() + self._retry_for_s
        attempt = 0
        while True:
            failure: httpx.TransportError | None = None
            wait_s = random.uniform(0, min(MAX_DELAY_S, FIRST_DELAY_S * 2**attempt))
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                failure = error
                reason = f"{type(error).__name__}: {error}"
            else:
                if response.status_code not in RETRIED:
                    return response
                reason = str(_error(response))
                wait_s += _retry_after_s(response)
            if time.monotonic() + wait_s > give_up_at:
                if failure:
                    said = (
                        f"no answer for {self._retry_for_s:g} s ({reason}). Is it running? lut-server serve starts it"
                    )
                else:
                    said = f"not available for {self._retry_for_s:g} s. {reason}"
                raise ServerUnavailable(
                    f"the server at {self._url}: {said}",
                    status=None if failure else response.status_code,
                    problem=None if failure else _problem(response),
                ) from failure
            time.sleep(wait_s)
            attempt = min(attempt + 1, 20)


def _retry_after_s(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    return 0.0


def _problem(response: httpx.Response) -> Problem | None:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def _error(response: httpx.Response) -> LutError:
    status = response.status_code
    problem = _problem(response)
    kind = _ERRORS.get(status, Rejected if 400 <= status < 500 else LutError)
    request = response.request
    said = f"{problem.title}: {problem.detail}" if problem else f"{request.method} {request.url} answered {status}"
    return kind(said, status=status, problem=problem)
