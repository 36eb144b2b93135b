import csv
import io
import json
from typing import Any

import pytest
import uuid6

from latency_tables.client import NotFound, Rejected
from latency_tables.contract import (
    DeviceReport,
    Latency,
    LatencyTable,
    MissingRows,
    OperationSpec,
    Prediction,
    PredictionRequest,
    Problem,
    Runtime,
    TableSummary,
    sha256,
)
from latency_tables.contract import TableRow as Row
from lut_server.storage import tables
from lut_server.storage.comparisons import operation_key
from tests.support.factories import CPU, METHOD, SOUND, SPACE_DIGEST, network, operation, profile, report
from tests.support.lut import Lut

A, B, C = operation(8), operation(16), operation(32)


def test_a_later_job_extends_the_table(lut: Lut, device: DeviceReport) -> None:
    first = lut.build_table(profile(A), device)
    second = lut.build_table(profile(B), device)
    assert [row.operation for row in first.rows] == [A]
    assert {row.operation for row in second.rows} == {A, B}
    assert lut.client.newest_table("cpu-1", "small", CPU) == second
    assert lut.client.table(first.id) == first, "tables never change"


def test_the_stored_digest_is_that_of_the_content(lut: Lut, device: DeviceReport) -> None:
    table = lut.build_table(profile(A, B), device)
    (summary,) = lut.client.tables()
    assert summary.content_digest == table.digest
    assert summary == TableSummary(
        id=table.id,
        content_digest=table.digest,
        created_at=lut.clock.now,
        device="cpu-1",
        device_name="Xeon",
        environment=device.environment.digest,
        runtime=CPU,
        method_version="blocks-1",
        space="small",
        space_digest=SPACE_DIGEST,
        rows=2,
        largest_input=(16, 16, 16),
        requested_by=summary.requested_by,
    )
    assert "@" in (summary.requested_by or "")


def test_tables_are_never_mixed(lut: Lut, device: DeviceReport) -> None:
    """Runtime, definition of the space, environment and device each make their own table."""
    redefined = operation(8, space_digest=sha256("redefined"))
    updated, other = report(torch="2.14.0"), report("cpu-2", "EPYC")
    built = [
        lut.build_table(profile(A), device, 10),
        lut.build_table(profile(A, runtime=Runtime(threads=2)), device, 20),
        lut.build_table(profile(redefined), device, 30),
        lut.build_table(profile(A), updated, 40),
        lut.build_table(profile(A), other, 50),
    ]
    assert [table.rows[0].latency.median_us for table in built] == [10, 20, 30, 40, 50]
    assert [item.id for item in lut.client.tables()] == [table.id for table in built]
    assert lut.client.newest_table("XEON", "small", CPU, SPACE_DIGEST) == built[3]
    assert lut.client.newest_table("cpu-1", "small", CPU, redefined.space_digest) == built[2]
    assert [item.id for item in lut.client.tables(device="cpu-1", threads=2)] == [built[1].id]
    with pytest.raises(MissingRows, match="another definition"):
        built[0].require([redefined])


def imported(lut: Lut, by: DeviceReport, *specs: OperationSpec, warnings: tuple[str, ...] = ()) -> LatencyTable:
    """A table that another server built, of rows that take 5 µs."""
    latency = Latency.of([5.0, 5.0])
    rows = [
        Row(operation=spec, latency=latency, quality=SOUND, measurement_id=uuid6.uuid7())
        for spec in sorted(specs, key=lambda spec: spec.digest)
    ]
    table = LatencyTable(
        id=uuid6.uuid7(),
        created_at=lut.clock.now,
        device=by.device,
        environment=by.environment,
        runtime=CPU,
        method_version=METHOD.version,
        space="small",
        space_digest=SPACE_DIGEST,
        rows=tuple(rows),
        warnings=warnings,
    )
    answer = lut.http.put(
        f"/v1/tables/{table.id}",
        content=table.model_dump_json(),
        params={"digest": table.digest},
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    lut.clock.advance(60)
    return table


def test_a_job_extends_an_imported_table(lut: Lut, device: DeviceReport) -> None:
    specs = [operation(channels + 1) for channels in range(100)]
    first = imported(lut, device, *specs, warnings=("It was hot there.",))
    new, again = operation(500), specs[7]
    table = lut.build_table(profile(new, again), device)
    assert {row.operation for row in table.rows} == {*specs, new}
    assert [table[spec].latency.median_us for spec in (new, again)] == [100, 100]
    assert all(table[spec] == first[spec] for spec in specs if spec != again)
    assert table.warnings == first.warnings
    lut.clock.advance(60)
    further = lut.build_table(profile(operation(501)), device)
    assert {row.operation for row in further.rows} == {*specs, new, operation(501)}
    assert lut.build_table(profile(new), device).id == further.id, "same content, same table"
    updated = lut.build_table(profile(new), report(torch="2.14.0"))
    assert [row.operation for row in updated.rows] == [new], "only under the same conditions"


def test_what_was_measured_here_comes_first_where_a_table_is_full(
    lut: Lut, device: DeviceReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(lut, device, *(operation(channels + 1) for channels in range(5)))
    monkeypatch.setattr(tables, "MAX_OPERATIONS", 4)
    own = {operation(100 + n) for n in range(3)}
    operations = {row.operation for row in lut.build_table(profile(*own), device).rows}
    assert len(operations) == 4
    assert own < operations


def test_a_device_that_returns_to_an_older_environment_has_its_table_as_the_newest(
    lut: Lut, device: DeviceReport
) -> None:
    first = lut.build_table(profile(A), device)
    lut.build_table(profile(A), report(torch="2.14.0"))
    again = lut.build_table(profile(A), device)
    assert again.digest == first.digest
    assert lut.client.newest_table("cpu-1", "small", CPU) == again


def test_a_table_that_is_not_there_is_answered_with_those_there_are(lut: Lut, device: DeviceReport) -> None:
    with pytest.raises(NotFound, match=r"Post a profile job .*no table yet"):
        lut.client.newest_table("cpu-1", "small", CPU)
    table = lut.build_table(profile(A), device)
    with pytest.raises(
        NotFound, match=rf"Post a profile job .*small, pytorch fp32, batch 1, 1 thread, 1 row, .*{table.id}"
    ):
        lut.client.newest_table("cpu-1", "small", Runtime(mode="tensorrt", precision="fp16"))
    with pytest.raises(NotFound, match="no such table"):
        lut.client.table(uuid6.uuid7())


def test_a_name_that_two_devices_have_asks_for_a_uuid(lut: Lut, device: DeviceReport) -> None:
    lut.build_table(profile(A), device)
    lut.client.register_device(report("cpu-2"))
    with pytest.raises(Rejected, match="cpu-1, cpu-2"):
        lut.client.newest_table("Xeon", "small", CPU)


def test_etag_and_304(lut: Lut, device: DeviceReport) -> None:
    table = lut.build_table(profile(A), device)
    for path, cache in (
        (f"/v1/tables/{table.id}", "immutable"),
        ("/v1/tables/newest?device=cpu-1&space=small&threads=1", "no-cache"),
    ):
        full = lut.http.get(path)
        assert LatencyTable.model_validate_json(full.content) == table
        assert cache in full.headers["cache-control"]
        for tag in (full.headers["etag"], f'"x", W/{full.headers["etag"]}'):
            unchanged = lut.http.get(path, headers={"If-None-Match": tag})
            assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert lut.http.get(path, headers={"If-None-Match": '"older"'}).status_code == 200
    missing = lut.http.get(f"/v1/tables/{uuid6.uuid7()}", headers={"If-None-Match": "*"})
    assert missing.status_code == 404


def test_csv_says_the_same(lut: Lut, device: DeviceReport) -> None:
    table = lut.build_table(profile(A, B), device)
    answer = lut.http.get(f"/v1/tables/{table.id}?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    for row, expected in zip(rows, table.rows, strict=True):
        assert row["key"] == expected.operation.digest
        assert float(row["median_us"]) == expected.latency.median_us
        assert row["measurement_id"] == str(expected.measurement_id)
    assert answer.headers["etag"] != lut.http.get(f"/v1/tables/{table.id}").headers["etag"]


def test_a_prediction_is_the_sum_over_the_multiset(lut: Lut, device: DeviceReport) -> None:
    lut.build_table(profile(A), device, 10)
    table = lut.build_table(profile(B), device, 100)
    asked = network(A, B, counts=[3, 2])
    answer = _predict(lut, PredictionRequest(networks=(asked,), device="Xeon", runtime=CPU))
    (prediction,) = map(Prediction.model_validate, answer)
    assert (prediction.network, prediction.raw_us) == (asked.digest, 3 * 10 + 2 * 100)
    assert (prediction.predicted_us, prediction.calibration_id) == (None, None), "never the raw sum"
    assert (prediction.table_id, prediction.device) == (table.id, device.device)


def test_a_prediction_without_every_row_lists_what_is_missing(lut: Lut, device: DeviceReport) -> None:
    lut.build_table(profile(A), device)
    request = PredictionRequest(networks=(network(A, B, C),), device="cpu-1", runtime=CPU)
    problem = Problem.model_validate(_predict(lut, request, 422))
    assert problem.model_extra is not None
    missing = problem.model_extra["missing"]
    assert {tuple(spec["input_shapes"][0]) for spec in missing} == {(16, 16, 16), (32, 16, 16)}
    assert "post a job" in problem.detail


def test_lists_come_in_pages(lut: Lut) -> None:
    for number in range(5):
        lut.client.register_device(report(f"cpu-{number}"))
        lut.client.submit_job(profile(operation(number + 1)))
    for noun in ("devices", "jobs"):
        items, after = [], None
        while True:
            page = lut.http.get(f"/v1/{noun}", params={"limit": 2, **({"after": after} if after else {})}).json()
            items += page["items"]
            after = page["next"]
            if after is None:
                break
        whole = lut.http.get(f"/v1/{noun}").json()["items"]
        assert len(items) == 5
        assert items == whole
    for query in ({"limit": 1001}, {"limit": 0}, {"after": "x"}, {"after": "9" * 30}):
        assert lut.http.get("/v1/jobs", params=query).status_code == 422


def _predict(lut: Lut, request: PredictionRequest, status: int = 200) -> Any:
    answer = lut.http.post("/v1/predictions", json=request.model_dump(mode="json"))
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_key_of_a_parsed_operation_is_its_digest() -> None:
    params = (("bias", False), ("mode", "größer"), ("one", 1.0), ("scale", 0.1))
    for spec in (A, A.model_copy(update={"params": params})):
        assert operation_key(json.loads(spec.model_dump_json())) == spec.digest
