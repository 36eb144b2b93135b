import json
from typing import Any

import httpx
import pytest
import uuid6

from latency_tables.client import Conflict, NotFound, Rejected
from latency_tables.contract import DeviceReport, Lease, Measurement, Quality
from tests.support.factories import lease_request, measurement, operation, profile, report
from tests.support.lut import Lut

A, B = operation(8), operation(16)
SHAKY = Quality(converged=False)
BAD_VALUES = [
    ("samples_us", "[1.0, NaN]"),
    ("samples_us", "[Infinity]"),
    ("samples_us", "[1e999]"),
    ("samples_us", "[]"),
    ("samples_us", "[-1.0]"),
    ("samples_us", "[0]"),
    ("samples_us", '["1.0; DROP TABLE measurements"]'),
    ("samples_us", json.dumps([1.0] * 10_001)),
    ("samples_us", "[" * 500 + "]" * 500),
    ("device", '"\\ud800"'),
    ("device", '"\\u0000"'),
    ("key", '"../../etc/passwd"'),
    ("executions_per_block", "1" * 400 + ".5"),
    ("measured_at", '"2025-01-01T00:00:00"'),
    ("surprise", "1"),
]


@pytest.fixture
def lease(lut: Lut, device: DeviceReport) -> Lease:
    lut.client.submit_job(profile(A, B))
    return lut.claim(device)


def test_the_same_measurement_is_stored_once(lut: Lut, device: DeviceReport, lease: Lease) -> None:
    first = measurement(lease, A.digest, device)
    receipt = lut.client.put_measurement(first)
    lut.clock.advance(50)
    assert lut.client.put_measurement(first) == receipt
    assert lut.client.put_measurements([first]) == [receipt]
    assert lut.client.measurements() == [first]
    assert not receipt.late


def test_another_body_under_the_same_id_is_a_conflict(lut: Lut, device: DeviceReport, lease: Lease) -> None:
    first = measurement(lease, A.digest, device)
    lut.client.put_measurement(first)
    other = first.model_copy(update={"samples_us": (1.0,)})
    with pytest.raises(Conflict, match="never replaced"):
        lut.client.put_measurement(Measurement.model_validate(other.model_dump()))
    assert lut.client.measurements() == [first]


def test_a_batch_is_stored_whole_or_not_at_all(lut: Lut, device: DeviceReport, lease: Lease) -> None:
    good = [measurement(lease, key, device) for key in (A.digest, B.digest)]
    foreign = measurement(lease, operation(99).digest, device)
    with pytest.raises(Rejected, match="not a key of job"):
        lut.client.put_measurements([*good, foreign])
    with pytest.raises(Rejected, match="is repeated in this batch"):
        lut.client.put_measurements([*good, good[0]])
    assert lut.client.measurements() == []
    assert [receipt.id for receipt in lut.client.put_measurements(good)] == [item.id for item in good]
    assert lut.client.measurements(key=B.digest) == [good[1]]
    assert lut.client.measurements(device="xeon", job_id=lease.job.id) == good
    assert lut.client.measurements(job_id=uuid6.uuid7()) == []


def test_what_is_not_known_is_named(lut: Lut, device: DeviceReport, lease: Lease) -> None:
    first = measurement(lease, A.digest, device)
    for field, value in {"device": "gpu-9", "environment": "0" * 64, "job_id": uuid6.uuid7()}.items():
        wrong = Measurement.model_validate({**first.model_dump(), field: value})
        with pytest.raises(NotFound, match=f"{field}={str(value)!r}|{field}={value}"):
            lut.client.put_measurement(wrong)
    assert lut.client.measurements() == []


def test_bad_values_are_refused_by_name_and_nothing_is_stored(lut: Lut, device: DeviceReport, lease: Lease) -> None:
    first = measurement(lease, A.digest, device)
    for field, value in BAD_VALUES:
        answer = _put(lut, first, field, value)
        assert answer.status_code in (404, 422), (field, value[:30], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert any(named in answer.text for named in (field, "NUL", "surrogate", "nests deeper")), answer.text
    assert lut.client.measurements() == []


def test_what_is_not_json_is_refused(lut: Lut) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"null", b"[]", b"NaN", b"[" * 100_000):
        answer = lut.http.put(
            f"/v1/measurements/{uuid6.uuid7()}", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code in (400, 422), (body[:10], answer.text)
        assert answer.json()["detail"]


def test_doubt_gives_way_to_a_sound_measurement_in_the_table(lut: Lut, device: DeviceReport, lease: Lease) -> None:
    for key, medians in {A.digest: (10.0, 20.0), B.digest: (30.0, 40.0)}.items():
        lut.client.put_measurement(measurement(lease, key, device, medians[0]))
        lut.client.put_measurement(
            measurement(lease, key, device, medians[1], SHAKY if key == A.digest else Quality(converged=True))
        )
    done = lut.finish(lease.model_copy(update={"remaining": ()}), device)
    assert done.table_id is not None
    table = lut.client.table(done.table_id)
    assert table[A].latency.median_us == 10, "the newest one is not sound"
    assert table[B].latency.median_us == 40, "the newest one counts"


def test_a_measurement_under_another_method_stands_in_no_table(lut: Lut, device: DeviceReport, lease: Lease) -> None:
    for key in lease.remaining:
        lut.client.put_measurement(measurement(lease, key, device, method_version="blocks-2"))
    lut.client.give_back(lease.id, lease.token)
    again = lut.client.claim(lease_request(device))
    assert again is not None
    assert set(again.remaining) == {A.digest, B.digest}


def test_a_job_of_one_agent_is_late_for_another(lut: Lut, lease: Lease) -> None:
    other = report("cpu-2")
    lut.client.register_device(other)
    assert lut.client.put_measurement(measurement(lease, A.digest, other)).late


def _put(lut: Lut, first: Measurement, field: str, value: str) -> httpx.Response:
    body: dict[str, Any] = {**first.model_dump(mode="json"), field: "@"}
    return lut.http.put(
        f"/v1/measurements/{first.id}",
        content=json.dumps(body).replace('"@"', value),
        headers={"content-type": "application/json"},
    )
