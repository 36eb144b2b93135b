"""Hostile input at every place of every request: each gets its 4xx, and nothing is stored."""

import hashlib
import json
import re
import socket
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uuid6
from sqlalchemy import inspect, text

from latency_tables.contract import (
    Capability,
    Completion,
    Device,
    DeviceReport,
    Environment,
    LatencyTable,
    Lease,
    Measurement,
    Method,
    Progress,
    Quality,
    canonical_json,
)
from lut_server.credentials import mint
from lut_server.storage import tokens
from lut_server.storage.database import Database
from tests.support.factories import CPU, end_to_end, lease_request, measurement, network, operation, profile
from tests.support.guarded import Guarded, guarded_server
from tests.support.hostile import PATHS, STRINGS, Attempt, Request, attempts, places

pytestmark = pytest.mark.process

DOCUMENT = Path(__file__).parents[3] / "docs" / "security.md"
REFUSED = {400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429}
JSON = {"Content-Type": "application/json"}
A, B = operation(8), operation(16)
REPORT = DeviceReport(
    device=Device(
        uuid="gpu-1",
        kind="cuda",
        vendor="NVIDIA",
        name="H200",
        memory_bytes=2**37,
        cores=132,
        compute_capability="9.0",
        cpu_flags=("avx2",),
    ),
    environment=Environment(
        os="Linux",
        python="3.12",
        torch="2.13",
        driver="580",
        cuda="13.0",
        cudnn="9",
        tensorrt="10",
        onnxruntime="1.31",
        libraries={"openvino": "2026.4"},
        power_limit_w=700.0,
        clock_policy="default",
        allocator="caching",
    ),
    agent="test",
    works=(Capability(mode="tensorrt", precision="fp16", reason="too old"),),
)


LEASED = REPORT.model_copy(update={"environment": REPORT.environment.of_mode("pytorch")})
"""What measurements are of: the environment without the libraries of other modes."""


class Target:
    """A server with one of everything, and the valid requests that could change it."""

    def __init__(self, guarded: Guarded) -> None:
        self.guarded = guarded
        self.database = guarded.database
        self.http = guarded.http(guarded.make("admin").token)
        self.rotated = guarded.make("read").record.id
        self.tried: Counter[str] = Counter()
        self._put("/v1/devices/gpu-1", REPORT)
        self.job_id, self.other_job_id = uuid6.uuid7(), uuid6.uuid7()
        self._put(f"/v1/jobs/{self.job_id}", profile(A))
        self.done = self._lease()
        self.result = measurement(self.done, A.digest, LEASED).model_copy(
            update={"method": Method(version="blocks-1", settings=(("seed", 7), ("clock", "events")))}
        )
        self._put(f"/v1/measurements/{self.result.id}", self.result)
        ended = self._send("POST", f"/v1/leases/{self.done.id}/completion", Completion(), self.done)
        self.table = LatencyTable.model_validate(self.http.get(f"/v1/tables/{ended['table_id']}").json())
        self._put(f"/v1/jobs/{self.other_job_id}", profile(B))
        self.lease = self._lease()

    def snapshot(self) -> str:
        """Everything that is stored, but when tokens were last used and devices last seen."""
        return snapshot(self.database)

    def requests(self) -> Iterator[Request]:
        """A valid request for every operation that has a body, with every field filled."""
        device = json.loads(REPORT.model_dump_json())
        own = {"Lease-Token": self.lease.token}
        job = profile(B).model_copy(update={"device": {"uuid": "gpu-1", "name": "H200", "kind": "cuda"}})
        effort = {"target_rel": 0.01, "min_blocks": 12, "budget_s": 60.0}
        selected = {**json.loads(profile(B).model_dump_json()), "device": job.device, "effort": effort}
        spec = network(A)
        measured = {**json.loads(end_to_end(spec).model_dump_json()), "effort": effort, "device": job.device}
        filled = {"threads": 1}
        result = json.loads(measurement(self.lease, B.digest, LEASED).model_dump_json())
        result["method"] = {"version": "blocks-1", "settings": {"seed": 7, "clock": "events", "exact": True}}
        costs = {"parameters": 9, "macs": 10**9, "peak_memory_bytes": 10**6}
        observed = {
            "clocks": "locked",
            "noise_rel": 0.01,
            "sm_mhz": 1980.0,
            "memory_mhz": 2619.0,
            "temperature_c": 40.0,
            "power_w": 300.0,
            "power_capped": False,
            "foreign_processes": 0,
        }
        work = {"macs": 9, "elements": 9, "weights": 9, "launches": 1, "depthwise_macs": 0, "unused": False}
        figures: dict[str, Any] = {
            "normalized_us": 100.0,
            "normalized_low_us": 99.0,
            "normalized_high_us": 101.0,
            "device_us": 90.0,
        }
        figures |= {"costs": costs, "work": work}
        result.update(figures, observed=observed, kernels=[{"kind": "Convolution", "nodes": ["stem.0/Conv"]}])
        result["anchor"] = {"network": spec.digest, "standard_us": 1000.0}
        new = {**json.loads(self.table.model_dump_json()), "id": str(uuid6.uuid7())}
        new["warnings"] = ["clocks were not locked"]
        new["environment"] = device["environment"]
        for row in new["rows"]:
            row["latency"].update(p90_us=101.0, p99_us=101.0)
            row.update(figures)
        predicted = {
            "networks": [json.loads(spec.model_dump_json())],
            "device": "gpu-1",
            "runtime": {**CPU.model_dump(), **filled},
            "by": "table",
        }
        expiring = {"expires_at": "2026-01-01T00:00:00Z"}
        token = {"name": "x", "role": "agent", "device": "gpu-1", **expiring}
        yield Request("register_device", "PUT", "/v1/devices/gpu-1", device, free=(("works", 0, "reason"),))
        yield Request("set_device_visibility", "PUT", "/v1/devices/gpu-1/visibility", {"hidden": False})
        yield Request("submit_job", "PUT", f"/v1/jobs/{uuid6.uuid7()}", selected)
        yield Request("submit_job", "PUT", f"/v1/jobs/{uuid6.uuid7()}", measured)
        yield Request("forecast_job", "POST", "/v1/jobs/forecasts", selected)
        yield Request("claim_lease", "POST", "/v1/leases", json.loads(lease_request(REPORT).model_dump_json()))
        yield Request(
            "renew_lease",
            "PATCH",
            f"/v1/leases/{self.lease.id}",
            {"done": 0, "total": 1, "share": 0.5, "stage": "round 2"},
            own,
        )
        yield Request(
            "complete_lease",
            "POST",
            f"/v1/leases/{self.lease.id}/completion",
            {"error": "out of memory"},
            own,
            free=(("error",),),
        )
        yield Request("put_measurement", "PUT", f"/v1/measurements/{result['id']}", result)
        yield Request("put_measurements", "POST", "/v1/measurements", [result])
        yield Request("put_network", "PUT", "/v1/networks/{digest}", json.loads(spec.model_dump_json()))
        yield Request("name_network", "PUT", f"/v1/networks/{spec.digest}/name", {"name": "found"})
        yield Request("predict", "POST", "/v1/predictions", predicted)
        conditions = {"device": "gpu-1", "runtime": predicted["runtime"]}
        path = {"label": "exit 1", "network": json.loads(spec.model_dump_json()), "rate": 0.5}
        yield Request("expect", "POST", "/v1/expectations", {**conditions, "paths": [path]})
        definition = {"space": spec.space, "space_digest": spec.space_digest}
        yield Request("make_transfer", "PUT", f"/v1/transfers/{uuid6.uuid7()}", {**conditions, **definition})
        proposed = {**conditions, "networks": predicted["networks"], "count": 1}
        yield Request("propose_networks", "POST", "/v1/transfers/proposals", proposed)
        yield Request("import_table", "PUT", f"/v1/tables/{new['id']}?digest={{digest}}", new)
        yield Request("create_token", "PUT", f"/v1/tokens/{uuid6.uuid7()}", token)
        yield Request(
            "rotate_token",
            "POST",
            f"/v1/tokens/{self.rotated}/rotation",
            {"id": str(uuid6.uuid7()), "overlap_s": 5.0, **expiring},
        )

    def refuse(self, attempt: Attempt) -> None:
        content = iter(attempt.content) if isinstance(attempt.content, list) else attempt.content
        answer = self.http.request(
            attempt.method,
            "/",
            content=content,
            headers=attempt.headers,
            extensions={"target": attempt.path.encode()},  # as it stands: the client would resolve ".."
        )
        shown = attempt.content[:200] if isinstance(attempt.content, bytes) else attempt.content and "chunks"
        assert answer.status_code in REFUSED, (answer.status_code, attempt.kind, attempt.method, attempt.path, shown)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
        self.tried[attempt.kind] += 1

    def _put(self, path: str, body: Any) -> None:
        self._send("PUT", path, body, None)

    def _send(self, method: str, path: str, body: Any, lease: Lease | None) -> Any:
        headers = {**JSON, **({"Lease-Token": lease.token} if lease else {})}
        answer = self.http.request(method, path, content=body.model_dump_json(), headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    def _lease(self) -> Lease:
        return Lease.model_validate(self._send("POST", "/v1/leases", lease_request(REPORT), None))


def snapshot(database: Database) -> str:
    digest = hashlib.sha256()
    passing = {"last_used_at", "heartbeat_at"}
    with database.engine.connect() as connection:
        for table in sorted(inspect(connection).get_table_names()):
            columns = sorted({item["name"] for item in inspect(connection).get_columns(table)} - passing)
            for row in sorted(map(repr, connection.execute(text(f"SELECT {', '.join(columns)} FROM {table}")))):
                digest.update(f"{table} {row}\n".encode(errors="replace"))
    return digest.hexdigest()


@pytest.fixture
def target(database_url: str) -> Iterator[Target]:
    with guarded_server(database_url) as guarded:
        target = Target(guarded)
        yield target
        target.http.close()


def test_hostile_input_gets_its_4xx_and_nothing_is_stored(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    """One test, so that it counts all it tried: docs/security.md has the numbers."""
    described = target.http.get("/openapi.json").json()["paths"]
    before = target.snapshot()
    covered = set()
    for request in target.requests():
        covered.add(request.operation)
        unfilled = set(places(request.body, type(None)))
        assert not unfilled, f"{request.operation}: fill {unfilled}, so that every field is tried"
        for attempt in attempts(request):
            target.refuse(attempt)
        assert target.snapshot() == before, request
    _paths_and_queries(target, described)
    _headers(target)
    _digests(target)
    assert target.snapshot() == before
    with_bodies = {
        operation["operationId"]
        for methods in described.values()
        for operation in methods.values()
        if "requestBody" in operation
    }
    assert with_bodies <= covered, "a new operation needs a valid request here"
    _tokens(target, described)
    _lease_tokens(target)
    assert target.snapshot() != before, "tokens were made for the last two"
    for request in target.requests():
        path, content = request.sent(request.body)
        answer = target.http.request(request.method, path, content=content, headers={**JSON, **request.headers})
        # The measurements are stored already, and there is no other device to learn from.
        known = ("put_measurements", "put_measurement", "make_transfer", "propose_networks")
        assert answer.is_success or request.operation in known, (request, answer.text)
    with capsys.disabled():
        print()
        for kind, count in sorted(target.tried.items()):
            print(f"  {kind:40} {count:6}")
        print(f"  {'all':40} {target.tried.total():6}")
    written = dict(re.findall(r"^\| (.+?) \| ([0-9]+) \|$", DOCUMENT.read_text(), re.MULTILINE))
    assert written.keys() == {*target.tried, "all"}, "docs/security.md lists the kinds"
    for kind, count in {**target.tried, "all": target.tried.total()}.items():
        assert count >= int(written[kind]), f"docs/security.md promises more of {kind}"


def _paths_and_queries(target: Target, described: dict[str, Any]) -> None:
    hostile = [value for values in STRINGS.values() for value in values if value.isascii() and len(value) < 1000]
    for path, methods in described.items():
        for method, described_operation in methods.items():
            for parameter in described_operation.get("parameters", []):
                name = parameter["name"]
                if parameter["in"] == "path":
                    for value in PATHS:
                        url = path.replace(f"{{{name}}}", value)
                        target.refuse(Attempt("paths", method.upper(), url, b"{}", JSON))
                if parameter["in"] == "query":
                    for value in (*hostile, "\0", "../../etc/passwd"):
                        given = {
                            item["name"]: "x" for item in described_operation["parameters"] if item.get("required")
                        }
                        url = re.sub(r"\{[a-z]+\}", str(target.table.id), path)
                        target.refuse(
                            Attempt("queries", method.upper(), f"{url}?{httpx.QueryParams({**given, name: value})}")
                        )


def _headers(target: Target) -> None:
    """Header junk that a client library would not even send."""
    host = target.guarded.url.removeprefix("http://")
    token = target.http.headers["Authorization"]
    password = b64encode(f"anybody:{token.removeprefix('Bearer ')}".encode()).decode()
    good = f"Host: {host}\r\nAuthorization: {token}\r\n"
    smuggled = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/tokens HTTP/1.1\r\n\r\n"
    for lines in (
        f"Host: {host}\r\nAuthorization: Bearer\r\n",
        f"Host: {host}\r\nAuthorization: Bearer a b c\r\n",
        f"Host: {host}\r\nAuthorization: Bearer \xff\xfe\x80\r\n",
        f"Host: {host}\r\nAuthorization: Basic !!!\r\n",
        f"Host: {host}\r\nAuthorization: Basic {'A' * 4000}\r\n",
        f"Host: {host}\r\nAuthorization: Digest username=x\r\n",
        f"Host: {host}\r\nAuthorization: Bearer {'a' * 8000}\r\n",
        f"{good}Authorization: {token}\r\n",
        f"{good}Content-Length: -1\r\n",
        f"{good}Content-Length: x\r\n",
        f"{good}Content-Length: 4\r\nContent-Length: 5\r\n",
        f"{good}Transfer-Encoding: gzip, chunked, x\r\n",
        f"{good}X-Junk: a\0b\r\n",
        f"{good}No colon at all\r\n",
        good + smuggled,
        f"Host: {host}\r\nAuthorization: Basic {password}\r\nOrigin: http://[\r\n",
    ):
        answer = _answer(target.guarded.url, lines)
        assert re.match(r"HTTP/1\.1 (400|401|411|413|422|429|501) ", answer), (lines, answer)
        target.tried["header junk"] += 1


def _answer(url: str, lines: str) -> str:
    """The first of what a server says to a request with these header lines."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"PUT /v1/networks/{'0' * 64} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        return connection.recv(100).decode("latin-1")


def _digests(target: Target) -> None:
    spec = network(A, B)
    target.refuse(
        Attempt(
            "digests and ids that do not match",
            "PUT",
            f"/v1/networks/{'0' * 64}",
            spec.model_dump_json().encode(),
            JSON,
        )
    )
    changed = {**json.loads(spec.model_dump_json()), "genotype": '["other"]'}
    target.refuse(
        Attempt(
            "digests and ids that do not match",
            "PUT",
            f"/v1/networks/{spec.digest}",
            json.dumps(changed).encode(),
            JSON,
        )
    )
    table = json.loads(target.table.model_dump_json())
    for field, value in {"median_us": 1.0, "count": 9}.items():
        table = json.loads(target.table.model_dump_json())
        table["rows"][0]["latency"][field] = value
        for id in (table["id"], str(uuid6.uuid7())):
            content = json.dumps({**table, "id": id}).encode()
            path = f"/v1/tables/{id}?digest={target.table.digest}"
            target.refuse(Attempt("digests and ids that do not match", "PUT", path, content, JSON))
    own = target.result.model_dump_json().encode()
    target.refuse(Attempt("digests and ids that do not match", "PUT", f"/v1/measurements/{uuid6.uuid7()}", own, JSON))
    other = target.result.model_copy(update={"samples_us": (1.0,)}).model_dump_json().encode()
    target.refuse(
        Attempt("digests and ids that do not match", "PUT", f"/v1/measurements/{target.result.id}", other, JSON)
    )


def _tokens(target: Target, described: dict[str, Any]) -> None:
    expired, revoked, late = (target.guarded.make("admin", expires_in_s=10) for _ in range(3))
    with target.database.write() as session:
        tokens.revoke(session, revoked.record.id, target.guarded.clock.now)
    target.guarded.clock.advance(60)
    before = target.snapshot()
    good = late.token
    wrong = {
        "no token": None,
        "wrong tokens": mint(),
        "wrong checksums": good[:-1] + ("a" if good[-1] != "a" else "b"),
        "expired tokens": expired.token,
        "revoked tokens": revoked.token,
    }
    with httpx.Client(base_url=target.guarded.url, trust_env=False, timeout=60) as http:
        for path, methods in described.items():
            for method, operation in methods.items():
                if not operation.get("security"):
                    continue
                url = re.sub(r"\{[a-z]+\}", "x", path)
                for kind, token in wrong.items():
                    # Each from an address of its own, so that the answer is not only 429.
                    headers = {"X-Forwarded-For": f"2001:db8:{target.tried.total():x}::1"}
                    if token is not None:
                        headers["Authorization"] = f"Bearer {token}"
                    answer = http.request(method, url, headers=headers)
                    assert answer.status_code == 401, (method, url, kind)
                    assert answer.headers["www-authenticate"].startswith("Bearer")
                    target.tried[kind] += 1
    assert target.snapshot() == before


def _lease_tokens(target: Target) -> None:
    """Tokens of another agent, of another lease, and junk instead of a lease's token."""
    agent = target.guarded.make("agent", device="gpu-2").token
    before = target.snapshot()
    bodies = (("PATCH", "", Progress(done=1, total=1)), ("POST", "/completion", Completion()), ("DELETE", "", None))
    for method, path, body in bodies:
        content = b"" if body is None else body.model_dump_json().encode()
        url = f"/v1/leases/{target.lease.id}{path}"
        for token in (target.done.token, mint(), "' OR '1'='1", "<script>", "x" * 5000, ""):
            target.refuse(Attempt("lease tokens of others", method, url, content, {**JSON, "Lease-Token": token}))
        foreign = {**JSON, "Lease-Token": target.lease.token, "Authorization": f"Bearer {agent}"}
        target.refuse(Attempt("lease tokens of others", method, url, content, foreign))
    assert target.snapshot() == before


@pytest.mark.parametrize("lines", ["Host: [\r\n", "Host: localhost\r\nOrigin: http://[\r\n"])
def test_an_open_server_refuses_an_address_that_is_none(database_url: str, lines: str) -> None:
    with guarded_server(database_url, open_to_local=True) as guarded:
        assert _answer(guarded.url, lines).startswith("HTTP/1.1 400 ")


def test_text_that_may_be_anything_is_kept_as_text(target: Target) -> None:
    """Why a job failed, and a genotype: they come back as they were, as JSON, and change nothing else."""
    for value in (*STRINGS["SQL"], *STRINGS["HTML"]):
        spec = network(A).model_copy(update={"genotype": canonical_json(value)})
        answer = target.http.put(f"/v1/networks/{spec.digest}", content=spec.model_dump_json(), headers=JSON)
        assert answer.status_code == 200, answer.text
        assert json.loads(answer.json()["network"]["genotype"]) == value
        url = f"/v1/leases/{target.lease.id}/completion"
        ended = target.http.post(url, json={"error": value}, headers={"Lease-Token": target.lease.token})
        assert ended.json()["error"] == value
        assert ended.headers["content-type"] == "application/json"
        assert ended.headers["x-content-type-options"] == "nosniff"
        job_id = uuid6.uuid7()
        assert target.http.put(f"/v1/jobs/{job_id}", content=profile(B).model_dump_json(), headers=JSON).is_success
        target.lease = target._lease()
    assert len(target.http.get("/v1/devices").json()["items"]) == 1
    assert len(target.http.get("/v1/jobs").json()["items"]) == 2 + len(STRINGS["SQL"]) + len(STRINGS["HTML"])


def test_a_worker_never_stores_what_would_break_arithmetic(target: Target) -> None:
    """Finite samples whose sums, ratios or predictions are not."""
    for samples in ((1e308, 1e308), (5e-324,), (1e16,), (1e-7,)):
        body = {**json.loads(target.result.model_dump_json()), "id": str(uuid6.uuid7()), "samples_us": list(samples)}
        assert target.http.put(f"/v1/measurements/{body['id']}", json=body).status_code == 422
    extreme = Measurement.model_validate(
        {**target.result.model_dump(), "id": uuid6.uuid7(), "job_id": target.other_job_id, "key": B.digest}
        | {"samples_us": (1e-6, 1e15, 1e15), "quality": Quality(converged=True)}
    )
    assert target.http.put(f"/v1/measurements/{extreme.id}", content=extreme.model_dump_json(), headers=JSON).is_success
    ended = target.http.post(
        f"/v1/leases/{target.lease.id}/completion", json={}, headers={"Lease-Token": target.lease.token}
    )
    assert ended.status_code == 200, ended.text
    counted = network(A, B, counts=[10**6, 10**6])
    body = {"networks": [json.loads(counted.model_dump_json())], "device": "gpu-1", "runtime": CPU.model_dump()}
    assert target.http.post("/v1/predictions", json=body).status_code == 200
    table = ended.json()["table_id"]
    assert target.http.get(f"/v1/comparisons?table={target.table.id}&table={table}").status_code in (200, 422)
