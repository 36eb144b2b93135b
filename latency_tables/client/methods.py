"""LutClient and AsyncLutClient: a method per resource of the lookup-table server, written once for both.

Every call may be repeated safely, because the client makes the ids: so every call is retried on connection
errors, timeouts and a busy server.
"""

import asyncio
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

import httpx
import uuid6
from pydantic import TypeAdapter, ValidationError

from latency_tables.client.cache import Cache, Entry
from latency_tables.client.errors import JobFailed, LutError, NotAccurate, NotFound, error_of
from latency_tables.client.steps import Given, Pause, Steps, method, send
from latency_tables.contract import (
    Calibration,
    CalibrationSummary,
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
    Prediction,
    PredictionRequest,
    Progress,
    Receipt,
    Runtime,
    TableSummary,
)
from latency_tables.validation import first_error

Answer = TypeVar("Answer")
Query = Mapping[str, str | int | None]

PAGE_LIMIT = 1000
BATCH = 500
BATCH_BYTES = 8 * 2**20  # half of what the server takes

_LEASE: TypeAdapter[Lease | None] = TypeAdapter(Lease | None)
_NOTHING: TypeAdapter[None] = TypeAdapter(None)
_RECEIPTS = TypeAdapter(list[Receipt])
_TABLE = TypeAdapter(LatencyTable)


class Methods(ABC):
    """What both clients can do.

    A request is given up after `timeout_s` without an answer and repeated, with full jitter and honouring
    Retry-After, until `retry_for_s` have passed; then ServerUnavailable. Tables are kept in `cache`: True takes the
    platform's cache folder, a path that one, False none.

    Raises:
        ValueError: `url` is not an http(s) URL.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = 30,
        retry_for_s: float = 60,
        cache: bool | Path = True,
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"url={url!r}: {error}; give it like http://127.0.0.1:8000") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"url={url!r}: not an http(s) URL; give it like http://127.0.0.1:8000")
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s
        self._cache = Cache(None if cache is True else cache) if cache else None
        # A proxy from the environment cannot reach this machine's loopback.
        trust_env = parsed.host not in ("127.0.0.1", "localhost", "::1")
        self._http = self._open(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            trust_env=trust_env,
            verify=_tls(trust_env),
        )

    @abstractmethod
    def _open(self, **options: Any) -> Any:
        """The connections."""

    @abstractmethod
    def _run(self, steps: Steps[Answer]) -> Any:
        """Carry out steps: their answer, or what is awaited for it."""

    @method
    def register_device(self, report: DeviceReport) -> Steps[DeviceRecord]:
        return self._call(TypeAdapter(DeviceRecord), "PUT", f"/v1/devices/{quote(report.device.uuid)}", report)

    @method
    def devices(self) -> Steps[list[DeviceRecord]]:
        return self._list(TypeAdapter(Page[DeviceRecord]), "/v1/devices")

    @method
    def device(self, uuid: str) -> Steps[DeviceRecord]:
        return self._call(TypeAdapter(DeviceRecord), "GET", f"/v1/devices/{quote(uuid, safe='')}")

    @method
    def submit_job(self, request: JobRequest, id: UUID | None = None) -> Steps[Job]:
        """Queue a job; the same `id` with the same request is the same job."""
        return self._call(TypeAdapter(Job), "PUT", f"/v1/jobs/{id or uuid6.uuid7()}", request)

    @method
    def job(self, id: UUID) -> Steps[Job]:
        return self._call(TypeAdapter(Job), "GET", f"/v1/jobs/{id}")

    @method
    def jobs(self, state: JobState | None = None) -> Steps[list[Job]]:
        return self._list(TypeAdapter(Page[Job]), "/v1/jobs", {"state": state})

    @method
    def cancel_job(self, id: UUID) -> Steps[Job]:
        return self._call(TypeAdapter(Job), "DELETE", f"/v1/jobs/{id}")

    @method
    def wait_for_job(
        self, id: UUID, on_progress: Callable[[Job], None] | None = None, poll_s: float = 1.0
    ) -> Steps[Job]:
        """Wait until the job is done; `on_progress` sees the job whenever it changed.

        Raises:
            JobFailed: it failed or was cancelled.
        """
        seen: Job | None = None
        while True:
            job = yield from self._call(TypeAdapter(Job), "GET", f"/v1/jobs/{id}")
            if on_progress and job != seen:
                on_progress(job)
            if job.state == "done":
                return job
            if job.state in ("failed", "cancelled"):
                raise JobFailed(job)
            seen = job
            yield Pause(poll_s)

    @method
    def claim(self, request: LeaseRequest) -> Steps[Lease | None]:
        """Ask for work, waiting on the server for up to `request.wait_s`; None if there was none."""
        return self._call(_LEASE, "POST", "/v1/leases", request, timeout_s=self._timeout_s + request.wait_s)

    @method
    def renew(self, lease_id: UUID, token: str, progress: Progress) -> Steps[LeaseRenewal]:
        """Keep a lease and tell how far it is.

        Raises:
            LeaseLost: it had ended.
        """
        return self._call(TypeAdapter(LeaseRenewal), "PATCH", f"/v1/leases/{lease_id}", progress, lease_token=token)

    @method
    def complete(self, lease_id: UUID, token: str, completion: Completion) -> Steps[Job]:
        """End a lease and its job.

        Raises:
            Conflict: keys of the job are not measured yet (the message names them).
            LeaseLost: the job had ended otherwise.
        """
        return self._call(TypeAdapter(Job), "POST", f"/v1/leases/{lease_id}/completion", completion, lease_token=token)

    @method
    def give_back(self, lease_id: UUID, token: str) -> Steps[None]:
        """Return the job to the queue; this does not count as an attempt."""
        return self._call(_NOTHING, "DELETE", f"/v1/leases/{lease_id}", lease_token=token)

    @method
    def put_measurement(self, measurement: Measurement) -> Steps[Receipt]:
        return self._call(TypeAdapter(Receipt), "PUT", f"/v1/measurements/{measurement.id}", measurement)

    @method
    def put_measurements(self, measurements: list[Measurement]) -> Steps[list[Receipt]]:
        """Store measurements, each batch (500, or 8 MiB) as a whole or not at all; receipts in the same order."""
        receipts: list[Receipt] = []
        for body in _batches(measurements):
            receipts += yield from self._call(_RECEIPTS, "POST", "/v1/measurements", body)
        return receipts

    @method
    def measurements(
        self, *, key: str | None = None, device: str | None = None, job_id: UUID | None = None
    ) -> Steps[list[Measurement]]:
        query = {"key": key, "device": device, "job_id": str(job_id) if job_id else None}
        return self._list(TypeAdapter(Page[Measurement]), "/v1/measurements", query)

    @method
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
    ) -> Steps[list[TableSummary]]:
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

    @method
    def table(self, id: UUID, *, max_mape: float | None = None) -> Steps[LatencyTable]:
        """One table; one that was read before comes from the cache, without asking the server.

        `max_mape` demands that its calibrated predictions of networks are off by no more in the mean (0.02 is 2 %).

        Raises:
            NotAccurate: they are, or nobody knows.
        """
        return self._demand(self._table(f"/v1/tables/{id}"), max_mape)

    @method
    def newest_table(
        self,
        device: str,
        space: str,
        runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
        space_digest: str | None = None,
        *,
        max_mape: float | None = None,
    ) -> Steps[LatencyTable]:
        """The newest table of exactly this runtime; `device` is a uuid, or a name that only one device has.

        The server is asked each time; a table that is in the cache is not sent again. `max_mape` as for `table`.

        Raises:
            NotFound: no such device or table; the message names those there are.
            NotAccurate: its predictions are off by more than `max_mape`, or nobody knows.
        """
        query = {"device": device, "space": space, "space_digest": space_digest, **runtime.model_dump(mode="json")}
        return self._demand(self._table("/v1/tables/newest", query), max_mape)

    @method
    def calibration(self, table_id: UUID) -> Steps[Calibration]:
        """The newest calibration of a table, with its error card and the latencies inside a network.

        Raises:
            NotFound: no such table, or it has no calibration; the message says how to get one.
        """
        return self._call(TypeAdapter(Calibration), "GET", f"/v1/tables/{table_id}/calibration")

    @method
    def stored_calibration(self, id: UUID) -> Steps[Calibration]:
        """One calibration, also one that a newer one of its table has followed."""
        return self._call(TypeAdapter(Calibration), "GET", f"/v1/calibrations/{id}")

    @method
    def calibrations(self, table_id: UUID | None = None) -> Steps[list[CalibrationSummary]]:
        """Calibrations with their error cards, of one table or of all, oldest first."""
        query = {"table": str(table_id) if table_id else None}
        return self._list(TypeAdapter(Page[CalibrationSummary]), "/v1/calibrations", query)

    @method
    def predict(
        self,
        networks: Sequence[NetworkSpec],
        device: str | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    ) -> Steps[list[Prediction]]:
        """What networks of one space would cost: on one device, or on every device that has a table with all rows.

        For each device, in the order of their names, a prediction of each network (at most 256).

        Raises:
            NotFound: no such device or table.
            Rejected: the table lacks operations; `problem` lists them as `missing`.
        """
        request = PredictionRequest(networks=tuple(networks), device=device, runtime=runtime)
        return self._call(TypeAdapter(list[Prediction]), "POST", "/v1/predictions", request)

    @method
    def put_network(self, network: NetworkSpec) -> Steps[NetworkRecord]:
        return self._call(TypeAdapter(NetworkRecord), "PUT", f"/v1/networks/{network.digest}", network)

    @method
    def network(self, digest: str) -> Steps[NetworkRecord]:
        return self._call(TypeAdapter(NetworkRecord), "GET", f"/v1/networks/{quote(digest, safe='')}")

    @method
    def networks(self) -> Steps[list[NetworkRecord]]:
        return self._list(TypeAdapter(Page[NetworkRecord]), "/v1/networks")

    def _demand(self, table: Steps[LatencyTable], max_mape: float | None) -> Steps[LatencyTable]:
        """A table whose error card is no worse than `max_mape`, if that is given."""
        found = yield from table
        if max_mape is None:
            return found
        try:
            asked = self._call(TypeAdapter(Calibration), "GET", f"/v1/tables/{found.id}/calibration")
            card = (yield from asked).card
        except NotFound as error:
            raise NotAccurate(found.id, max_mape, None) from error
        if card.calibrated.mape > max_mape:
            raise NotAccurate(found.id, max_mape, card)
        return found

    def _list(self, page: TypeAdapter[Page[Answer]], path: str, query: Query | None = None) -> Steps[list[Answer]]:
        found: list[Answer] = []
        after: str | None = None
        while True:
            part = yield from self._call(
                page, "GET", path, query={**(query or {}), "after": after, "limit": PAGE_LIMIT}
            )
            found += part.items
            after = part.next
            if after is None:
                return found

    def _call(
        self,
        answer: TypeAdapter[Answer],
        method: str,
        path: str,
        body: Contract | bytes | None = None,
        *,
        query: Query | None = None,
        lease_token: str | None = None,
        timeout_s: float | None = None,
    ) -> Steps[Answer]:
        """Send, retry, and turn the answer into `answer` or the exception that its status stands for."""
        headers = {
            **({"Content-Type": "application/json"} if body is not None else {}),
            **({"Lease-Token": lease_token} if lease_token is not None else {}),
        }
        content = body.model_dump_json().encode() if isinstance(body, Contract) else body
        request = self._request(method, path, query, headers, content, timeout_s)
        response = yield from send(request, self._retry_for_s)
        if not response.is_success:
            raise error_of(response)
        return _parse(answer, request, response.content, response.status_code)

    def _table(self, path: str, query: Query | None = None) -> Steps[LatencyTable]:
        request = self._request("GET", path, query)
        url = str(request.url)
        kept = self._cache.get(url) if self._cache else None
        if kept and kept.immutable:
            return _parse(_TABLE, request, kept.body, None)
        if kept:
            request.headers["If-None-Match"] = kept.etag
        response = yield from send(request, self._retry_for_s)
        if kept and response.status_code == 304:
            return _parse(_TABLE, request, kept.body, 304)
        if not response.is_success:
            raise error_of(response)
        table = _parse(_TABLE, request, response.content, response.status_code)
        if self._cache and "ETag" in response.headers:
            immutable = "immutable" in response.headers.get("Cache-Control", "")
            self._cache.put(url, Entry(response.headers["ETag"], immutable, response.content))
        return table

    def _request(
        self,
        method: str,
        path: str,
        query: Query | None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Request:
        request: httpx.Request = self._http.build_request(
            method,
            path,
            params={name: value for name, value in (query or {}).items() if value is not None},
            content=content,
            headers=headers,
            timeout=timeout_s or self._timeout_s,
        )
        return request


class LutClient(Methods):
    """Talks to a lookup-table server at `url`; usable as a context manager and from several threads."""

    _http: httpx.Client

    def __enter__(self) -> "LutClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def _open(self, **options: Any) -> httpx.Client:
        return httpx.Client(**options)

    def _run(self, steps: Steps[Answer]) -> Answer:
        given: Given = None
        while True:
            try:
                wanted = steps.send(given)
            except StopIteration as done:
                return cast(Answer, done.value)
            given = None
            if isinstance(wanted, Pause):
                time.sleep(wanted.seconds)
                continue
            try:
                given = self._http.send(wanted)
            except httpx.TransportError as error:
                given = error


class AsyncLutClient(Methods):
    """The same for asyncio: an async context manager whose methods are awaited."""

    _http: httpx.AsyncClient

    async def __aenter__(self) -> "AsyncLutClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    def _open(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(**options)

    async def _run(self, steps: Steps[Answer]) -> Answer:
        given: Given = None
        while True:
            try:
                wanted = steps.send(given)
            except StopIteration as done:
                return cast(Answer, done.value)
            given = None
            if isinstance(wanted, Pause):
                await asyncio.sleep(wanted.seconds)
                continue
            try:
                given = await self._http.send(wanted)
            except httpx.TransportError as error:
                given = error


@lru_cache
def _tls(trust_env: bool) -> ssl.SSLContext:
    """As httpx makes one for each of its clients; it takes milliseconds, and a process may have many clients."""
    return httpx.create_ssl_context(trust_env=trust_env)


def _batches(measurements: Iterable[Measurement]) -> Iterator[bytes]:
    """JSON lists that the server takes at once."""
    parts: list[bytes] = []
    size = 0
    for measurement in measurements:
        part = measurement.model_dump_json().encode()
        if parts and (len(parts) == BATCH or size + len(part) > BATCH_BYTES):
            yield b"[" + b",".join(parts) + b"]"
            parts, size = [], 0
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield b"[" + b",".join(parts) + b"]"


def _parse(answer: TypeAdapter[Answer], request: httpx.Request, content: bytes, status: int | None) -> Answer:
    try:
        return answer.validate_json(content or b"null")
    except ValidationError as error:
        raise LutError(
            f"{request.method} {request.url}: the answer is not what this client knows "
            f"({first_error(error, 'answer')}); is a lut-server of this version there?",
            status=status,
        ) from error
