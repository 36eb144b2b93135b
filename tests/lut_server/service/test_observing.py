"""What operations sees: health, readiness, metrics, request ids, log lines."""

import json
import logging
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from uuid6 import uuid7

from latency_tables.contract import Completion, DeviceReport
from lut_server.logs import JsonFormatter
from lut_server.service.observing import log as access_log
from lut_server.storage.database import Database
from tests.support.factories import measurement, operation, profile
from tests.support.lut import Lut

A, B = operation(8), operation(16)


def _metrics(lut: Lut) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = lut.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_say_what_stands_in_the_database(lut: Lut, device: DeviceReport) -> None:
    lut.build_table(profile(A), device)
    lut.client.submit_job(profile(B))
    lut.clock.advance(30)
    lut.client.submit_job(profile(A, B))
    lease = lut.claim(device)
    lut.client.put_measurement(measurement(lease, B.digest, device))
    lut.clock.advance(10)
    metrics = _metrics(lut)
    assert metrics["lut_queue_length", ()] == 1
    assert metrics["lut_queue_oldest_age_seconds", ()] == 10
    assert (metrics["lut_leases_active", ()], metrics["lut_leases_expired_total", ()]) == (1, 0)
    assert metrics["lut_measurements_total", (("device_kind", "cpu"),)] == 2
    (age,) = [value for (name, _), value in metrics.items() if name == "lut_table_age_seconds"]
    assert age == 40
    lut.clock.advance(120)
    lut.claim(device)
    assert _metrics(lut)["lut_leases_expired_total", ()] == 1


def test_expired_leases_are_counted_once_whatever_comes_after(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A))
    slow = lut.claim(device)
    lut.clock.advance(121)
    lut.claim(device)
    assert _metrics(lut)["lut_leases_expired_total", ()] == 1
    done = lut.finish(slow, device)
    metrics = _metrics(lut)
    assert (metrics["lut_leases_expired_total", ()], metrics["lut_leases_active", ()]) == (1, 0)
    assert lut.client.complete(slow.id, slow.token, Completion()) == done


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_requests_are_counted_by_route_not_by_path(lut: Lut, device: DeviceReport) -> None:
    table = lut.build_table(profile(A), device)
    for path, times in {
        f"/v1/tables/{table.id}": 3,
        "/v1/tables/newest?device=cpu-1&threads=1": 2,
        f"/v1/tables/{uuid7()}": 2,
        "/no/such/path": 1,
        "/other": 1,
        "/v1/devices/devices": 1,
    }.items():
        for _ in range(times):
            lut.http.get(path)
    lut.http.request("BREW", "/coffee")
    count = "lut_http_request_duration_seconds_count"
    metrics = {tuple(dict(labels).values()): value for (name, labels), value in _metrics(lut).items() if name == count}
    assert metrics["GET", "/v1/tables/{id}", "200"] == 4  # one by the client
    assert metrics["GET", "/v1/tables/{id}", "404"] == 2
    assert metrics["GET", "/v1/tables/newest", "200"] == 2
    assert metrics["GET", "/v1/devices/{uuid}", "404"] == 1
    assert metrics["GET", "unmatched", "404"] == 2
    assert not any(route.startswith("/no") or method == "BREW" for method, route, _ in metrics)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_request_id_is_given_or_kept_if_it_is_sane(lut: Lut) -> None:
    ids = {lut.http.get("/healthz").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5
    assert lut.http.get("/healthz", headers={"X-Request-ID": "job-7.a"}).headers["x-request-id"] == "job-7.a"
    for bad in (b"a b", b"x" * 65, b'a"b', "ä".encode()):
        own_id = lut.http.get("/healthz", headers={b"X-Request-ID": bad}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{16}", own_id)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_line_per_request_carries_its_id(lut: Lut) -> None:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Kept()
    handler.setFormatter(JsonFormatter())
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)
    try:
        lut.http.get("/v1/jobs/nonsense%0Aforged?x=%0A", headers={"X-Request-ID": "mine"})
    finally:
        access_log.removeHandler(handler)
        access_log.setLevel(logging.NOTSET)
    (line,) = (json.loads(line) for line in lines)
    assert line["request_id"] == "mine"
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/jobs/{id}", 422)
    assert line["path"] == "/v1/jobs/nonsense%0Aforged"
    assert line["duration_ms"] > 0


def test_ready_means_the_right_schema_and_a_database_that_takes_a_write(lut: Lut, database_url: str) -> None:
    database = Database(database_url)
    with database.write() as session:
        right = session.scalar(text("SELECT version_num FROM alembic_version"))
        session.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    refused = lut.http.get("/readyz")
    assert refused.status_code == 503
    assert "older" in refused.json()["detail"]
    assert "migrate" in refused.json()["detail"]
    assert "retry-after" in refused.headers
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :right"), {"right": right})
    database.close()
    assert lut.http.get("/readyz").status_code == 200
    assert lut.http.get("/healthz").status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_header_is_sent_twice(lut: Lut, device: DeviceReport) -> None:
    table = lut.build_table(profile(A), device)
    for path in ("/", "/docs", "/v1/devices", "/static/style.css", f"/tables/{table.id}/picture.svg", "/v1/nothing"):
        names = [name.lower() for name, _ in lut.http.get(path).headers.raw]
        assert len(set(names)) == len(names), (path, names)
        assert b"x-content-type-options" in names
