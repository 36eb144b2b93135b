"""LutClient: a method for each resource of the lookup-table server."""

import getpass
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
import uuid6
from pydantic import TypeAdapter, ValidationError

from latency_tables.client.cache import Cache, Entry
from latency_tables.client.connecting import checked_token, open_client, server_url
from latency_tables.client.errors import JobFailed, LutError, NotAccurate, NotFound, error_of
from latency_tables.client.retry import send
from latency_tables.contract import (
    Calibration,
    CalibrationSummary,
    Completion,
    Contract,
    DeviceRecord,
    DeviceReport,
    Expectation,
    ExpectationRequest,
    Forecast,
    Job,
    JobRequest,
    JobState,
    LatencyTable,
    Lease,
    LeaseRenewal,
    LeaseRequest,
    Measurement,
    NetworkName,
    NetworkRecord,
    NetworkSpec,
    Page,
    Prediction,
    PredictionRequest,
    Progress,
    Proposal,
    ProposalRequest,
    Publication,
    PublicationSummary,
    Receipt,
    Runtime,
    TableSummary,
    Transfer,
    TransferRequest,
    TransferSummary,
)
from latency_tables.validation import first_error

Answer = TypeVar("Answer")
Query = Mapping[str, str | int | None]
OnJob = Callable[[Job], None]
"""Gets a job whenever it has changed."""

PAGE_LIMIT = 1000
BATCH = 500
BATCH_BYTES = 8 * 2**20  # half of what the server takes

_LEASE: TypeAdapter[Lease | None] = TypeAdapter(Lease | None)
_NOTHING: TypeAdapter[None] = TypeAdapter(None)
_RECEIPTS = TypeAdapter(list[Receipt])
_PREDICTIONS = TypeAdapter(list[Prediction])
_EXPECTATIONS = TypeAdapter(list[Expectation])


class LutClient:
    """Talks to a lookup-table server at `url`; usable as a context manager and from several threads.

    Every call may be repeated safely, because the client makes the ids. A request without an answer after `timeout_s`,
    or with the answer that the server is busy, is sent again until `retry_for_s` have passed: then ServerUnavailable.
    Any other refusal is the LutError of its status. Tables are kept in `cache`: True stands for the platform's cache
    folder, a path for that folder, False for none.

    Raises:
        ValueError: `url` is not an http(s) URL, `token` is no token, or a proxy of the environment cannot be used.
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
        self._http = open_client(server_url(url), checked_token(token))
        self._has_answered = False
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s
        self._cache = Cache(None if cache is True else cache) if cache else None

    def __enter__(self) -> "LutClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def register_device(self, report: DeviceReport) -> DeviceRecord:
        """Tell the server of a device and its environment; again when either has changed."""
        return self._call(TypeAdapter(DeviceRecord), "PUT", f"/v1/devices/{quote(report.device.uuid)}", report)

    def devices(self) -> list[DeviceRecord]:
        """All devices, each with the health of its newest tables."""
        return self._list(TypeAdapter(Page[DeviceRecord]), "/v1/devices")

    def device(self, uuid: str) -> DeviceRecord:
        """One device."""
        return self._call(TypeAdapter(DeviceRecord), "GET", f"/v1/devices/{quote(uuid, safe='')}")

    def submit_job(self, request: JobRequest, id: UUID | None = None) -> Job:
        """Queue a job; the same `id` with the same request is the same job. It says who asks: user and machine."""
        headers = {"Requested-By": _who()}
        return self._call(TypeAdapter(Job), "PUT", f"/v1/jobs/{id or uuid6.uuid7()}", request, headers=headers)

    def forecast(self, request: JobRequest) -> Forecast:
        """What a job would measure, when and for how long; queues nothing."""
        return self._call(TypeAdapter(Forecast), "POST", "/v1/jobs/forecasts", request)

    def job(self, id: UUID) -> Job:
        """One job, and how far it is."""
        return self._call(TypeAdapter(Job), "GET", f"/v1/jobs/{id}")

    def jobs(self, state: JobState | None = None) -> list[Job]:
        """Jobs in one state, or all of them, oldest first."""
        return self._list(TypeAdapter(Page[Job]), "/v1/jobs", {"state": state})

    def cancel_job(self, id: UUID) -> Job:
        """End a job that is queued or being measured; its agent stops when it next renews the lease.

        Raises:
            Conflict: the job is done or has failed.
        """
        return self._call(TypeAdapter(Job), "DELETE", f"/v1/jobs/{id}")

    def wait_for_job(self, id: UUID, on_progress: OnJob | None = None, poll_s: float = 1.0) -> Job:
        """Wait until the job is done; `on_progress` gets it whenever it has changed.

        Raises:
            JobFailed: it failed or was cancelled.
        """
        previous: Job | None = None
        while True:
            job = self.job(id)
            if on_progress and job != previous:
                on_progress(job)
            if job.state == "done":
                return job
            if job.state in ("failed", "cancelled"):
                raise JobFailed(job)
            previous = job
            time.sleep(poll_s)

    def claim(self, request: LeaseRequest) -> Lease | None:
        """Ask for work, waiting on the server for up to `request.wait_s`; None if there was none."""
        return self._call(_LEASE, "POST", "/v1/leases", request, timeout_s=self._timeout_s + request.wait_s)

    def renew(self, lease_id: UUID, token: str, progress: Progress) -> LeaseRenewal:
        """Keep a lease, and report its progress.

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
        """Store a measurement; the same id with the same content is stored once.

        Raises:
            Conflict: another measurement has this id.
        """
        return self._call(TypeAdapter(Receipt), "PUT", f"/v1/measurements/{measurement.id}", measurement)

    def put_measurements(self, measurements: Iterable[Measurement]) -> list[Receipt]:
        """Store measurements, each batch (500, or 8 MiB) as a whole or not at all; receipts in the same order."""
        return [
            receipt
            for body in _batches(measurements)
            for receipt in self._call(_RECEIPTS, "POST", "/v1/measurements", body)
        ]

    def measurements(
        self, *, key: str | None = None, device: str | None = None, job_id: UUID | None = None
    ) -> list[Measurement]:
        """Measurements of which every given field is equal, oldest first."""
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
        """Tables of which every given field is equal, oldest first."""
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

    def table(self, id: UUID, *, max_mape: float | None = None) -> LatencyTable:
        """One table; one that was read before comes from the cache, without asking the server.

        `max_mape` is the largest mean error of its calibrated predictions of networks that is accepted (0.02 is 2 %).

        Raises:
            NotAccurate: the mean error is larger, or unknown.
        """
        return self._accurate(self._table(f"/v1/tables/{id}"), max_mape)

    def newest_table(
        self,
        device: str,
        space: str,
        runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
        space_digest: str | None = None,
        *,
        max_mape: float | None = None,
    ) -> LatencyTable:
        """The newest table of exactly this runtime; `device` is a uuid, or a name that only one device has.

        The server is asked each time; a table that is in the cache is not sent again. `max_mape` as for `table`.

        Raises:
            NotFound: no such device or table; the message names those there are.
            NotAccurate: the mean error of its predictions is larger than `max_mape`, or unknown.
        """
        query = {"device": device, "space": space, "space_digest": space_digest, **runtime.model_dump(mode="json")}
        return self._accurate(self._table("/v1/tables/newest", query), max_mape)

    def calibration(self, table_id: UUID) -> Calibration:
        """The newest calibration of a table, with its error card and the latencies inside a network.

        Raises:
            NotFound: no such table, or it has no calibration; the message says how to get one.
        """
        return self._call(TypeAdapter(Calibration), "GET", f"/v1/tables/{table_id}/calibration")

    def stored_calibration(self, id: UUID) -> Calibration:
        """One calibration by its own id, also where its table has a newer one."""
        return self._call(TypeAdapter(Calibration), "GET", f"/v1/calibrations/{id}")

    def calibrations(self, table_id: UUID | None = None) -> list[CalibrationSummary]:
        """Calibrations with their error cards, of one table or of all, oldest first."""
        query = {"table": str(table_id) if table_id else None}
        return self._list(TypeAdapter(Page[CalibrationSummary]), "/v1/calibrations", query)

    def predict(
        self,
        networks: Sequence[NetworkSpec],
        device: str | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
        by: Literal["table", "transfer"] | None = None,
    ) -> list[Prediction]:
        """What networks of one space would cost: on one device, or on every device that has a table with all rows.

        For each device, in the order of their names, a prediction of each network (at most 256). A device without a
        table is predicted by its newest transfer; `by` asks for one of the two.

        Raises:
            NotFound: no such device, table or transfer.
            Rejected: the table lacks operations; `problem` lists them as `missing`.
        """
        request = PredictionRequest(networks=tuple(networks), device=device, runtime=runtime, by=by)
        return self._call(_PREDICTIONS, "POST", "/v1/predictions", request)

    def expect(
        self,
        paths: Iterable[tuple[str, NetworkSpec, float]],
        device: str | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    ) -> list[Expectation]:
        """What an input costs in the mean where its cost depends on it: on one device, or on every one with all rows.

        `paths`: label, network and rate (how often per input) of each, at most 256 of one space; those of rate 0 are
        left out, of the answers too.

        Raises:
            ValueError: a rate is negative or not finite, none is above 0, or the paths are of several spaces.
            NotFound: no such device or table.
            Rejected: the table lacks operations; `problem` lists them as `missing`.
        """
        taken = tuple({"label": label, "network": network, "rate": rate} for label, network, rate in paths if rate != 0)
        request = ExpectationRequest.model_validate({"paths": taken, "device": device, "runtime": runtime})
        return self._call(_EXPECTATIONS, "POST", "/v1/expectations", request)

    def propose(
        self,
        networks: Sequence[NetworkSpec],
        device: str,
        runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
        count: int = 1,
    ) -> Proposal:
        """Which of these networks (at most 256, of one space) the device would best measure next.

        Raises:
            NotFound: no such device.
            Rejected: no other device knows their operations, or fewer than `count` are left to measure.
        """
        request = ProposalRequest(networks=tuple(networks), device=device, runtime=runtime, count=count)
        return self._call(TypeAdapter(Proposal), "POST", "/v1/transfers/proposals", request)

    def make_transfer(self, request: TransferRequest, id: UUID | None = None) -> Transfer:
        """Learn a device from the networks that it has measured, and from other devices.

        Raises:
            NotFound: no such device.
            Rejected: it measured too few networks, or no other device knows their operations.
        """
        return self._call(TypeAdapter(Transfer), "PUT", f"/v1/transfers/{id or uuid6.uuid7()}", request)

    def newest_transfer(
        self,
        device: str,
        space: str,
        space_digest: str,
        runtime: Runtime = Runtime(),  # noqa: B008 (frozen)
    ) -> Transfer:
        """The newest transfer to a device, which is no table: its rows are far less certain.

        Raises:
            NotFound: no such device or transfer.
        """
        query = {"device": device, "space": space, "space_digest": space_digest, **runtime.model_dump(mode="json")}
        return self._call(TypeAdapter(Transfer), "GET", "/v1/transfers/newest", query=query)

    def transfer(self, id: UUID) -> Transfer:
        """One transfer."""
        return self._call(TypeAdapter(Transfer), "GET", f"/v1/transfers/{id}")

    def transfers(self, device: str | None = None) -> list[TransferSummary]:
        """Transfers to one device or to all, oldest first."""
        return self._list(TypeAdapter(Page[TransferSummary]), "/v1/transfers", {"device": device})

    def publications(self, space: str | None = None) -> list[PublicationSummary]:
        """Published latencies of one space or of all, oldest first."""
        return self._list(TypeAdapter(Page[PublicationSummary]), "/v1/publications", {"space": space})

    def publication(self, id: UUID) -> Publication:
        """One publication."""
        return self._call(TypeAdapter(Publication), "GET", f"/v1/publications/{id}")

    def network(self, digest: str) -> NetworkRecord:
        """One network, with its result on every device that measured it."""
        return self._call(TypeAdapter(NetworkRecord), "GET", f"/v1/networks/{quote(digest, safe='')}")

    def name_network(self, digest: str, name: str) -> NetworkRecord:
        """Say what people call a network.

        Raises:
            NotFound: no such network.
        """
        return self._call(TypeAdapter(NetworkRecord), "PUT", f"/v1/networks/{digest}/name", NetworkName(name=name))

    def networks(self) -> list[NetworkRecord]:
        """All networks with their results, oldest first."""
        return self._list(TypeAdapter(Page[NetworkRecord]), "/v1/networks")

    def _accurate(self, table: LatencyTable, max_mape: float | None) -> LatencyTable:
        """The table, if its error card is no worse than `max_mape` or that is None."""
        if max_mape is None:
            return table
        try:
            card = self.calibration(table.id).card
        except NotFound as error:
            raise NotAccurate(table.id, max_mape, None) from error
        if card.calibrated.mape > max_mape:
            raise NotAccurate(table.id, max_mape, card)
        return table

    def _list(self, page: TypeAdapter[Page[Answer]], path: str, query: Query | None = None) -> list[Answer]:
        items: list[Answer] = []
        after: str | None = None
        while True:
            part = self._call(page, "GET", path, query={**(query or {}), "after": after, "limit": PAGE_LIMIT})
            items += part.items
            after = part.next
            if after is None:
                return items

    def _call(
        self,
        answer: TypeAdapter[Answer],
        method: str,
        path: str,
        body: Contract | bytes | None = None,
        *,
        query: Query | None = None,
        lease_token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        headers = {**(headers or {}), **({"Lease-Token": lease_token} if lease_token is not None else {})}
        request = self._request(method, path, query, body, headers, timeout_s)
        response = self._send(request)
        return _parse(answer, request, response.content, response.status_code)

    def _table(self, path: str, query: Query | None = None) -> LatencyTable:
        """From the cache if the server says that it has not changed, or never asks for that."""
        request = self._request("GET", path, query)
        url = str(request.url)
        cached = self._cache.get(url) if self._cache else None
        entry = cached if cached and cached.immutable else self._current(request, cached)
        table = _parse(TypeAdapter(LatencyTable), request, entry.body, None if entry is cached else 200)
        if self._cache and entry is not cached and entry.etag:
            self._cache.put(url, entry)
        return table

    def _current(self, request: httpx.Request, cached: Entry | None) -> Entry:
        """The cached entry if it is what the server has, else what the server sends."""
        if cached:
            request.headers["If-None-Match"] = cached.etag
        response = self._send(request, not_modified=cached is not None)
        if cached and response.status_code == 304:
            return cached
        immutable = "immutable" in response.headers.get("Cache-Control", "")
        return Entry(response.headers.get("ETag", ""), immutable, response.content)

    def _request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Contract | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Request:
        return self._http.build_request(
            method,
            path,
            params={name: value for name, value in (query or {}).items() if value is not None},
            content=body.model_dump_json(exclude_none=True).encode() if isinstance(body, Contract) else body,
            headers={**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})},
            timeout=timeout_s or self._timeout_s,
        )

    def _send(self, request: httpx.Request, *, not_modified: bool = False) -> httpx.Response:
        """A response of success, or 304 if `not_modified`; any other raises the exception of its status."""
        response = send(self._http, request, self._retry_for_s, is_first=not self._has_answered)
        self._has_answered = True
        secured = _secured(request, response)
        if secured is not None:
            # The server is at https://: this request and all later ones go there.
            self._http.base_url = self._http.base_url.copy_with(scheme="https", port=secured.port)
            request.url = secured
            request.headers["Host"] = secured.netloc.decode()
            response = send(self._http, request, self._retry_for_s)
        if not response.is_success and not (not_modified and response.status_code == 304):
            raise error_of(response)
        return response


def _secured(request: httpx.Request, response: httpx.Response) -> httpx.URL | None:
    """Where a response sends its client, if that is the same address by https:// instead of http://.

    Another host or path is not followed: the token would go to whoever the answer names.
    """
    if not response.has_redirect_location or request.url.scheme != "http":
        return None
    try:
        target = request.url.join(response.headers["Location"])
    except httpx.InvalidURL:
        return None
    same = (target.host, target.raw_path) == (request.url.host, request.url.raw_path)
    return target if same and target.scheme == "https" else None


def _who() -> str:
    """The user and the machine that ask, as far as a header can say it."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user in a container
        user = "somebody"
    return re.sub(r"[^A-Za-z0-9_.@-]", "", f"{user}@{platform.node()}")[:100]


def _batches(measurements: Iterable[Measurement]) -> Iterator[bytes]:
    """JSON lists that the server takes at once."""
    parts: list[bytes] = []
    size = 0
    for measurement in measurements:
        part = measurement.model_dump_json(exclude_none=True).encode()
        if parts and (len(parts) == BATCH or size + len(part) > BATCH_BYTES):
            yield b"[" + b",".join(parts) + b"]"
            parts, size = [], 0
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield b"[" + b",".join(parts) + b"]"


def _parse(answer: TypeAdapter[Answer], request: httpx.Request, content: bytes, status: int | None) -> Answer:
    try:
        return answer.validate_json(content or b"null", extra="ignore")
    except ValidationError as error:
        raise LutError(
            f"{request.method} {request.url}: this client cannot read the answer "
            f"({first_error(error, 'answer')}); is a lut-server there, of this version or a newer one?",
            status=status,
        ) from error
