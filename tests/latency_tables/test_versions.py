"""An agent or a search that is older than its server, and files of a newer one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uuid6
from pydantic import ValidationError

from latency_tables.client import LutClient, LutError, NotFound, UnreadableTable, client, load_table
from latency_tables.client.retry import send
from latency_tables.contract import (
    Completion,
    DeviceReport,
    Exact,
    Latency,
    LatencyTable,
    Progress,
    Runtime,
    TableFile,
    TableRow,
    TransferRequest,
)
from tests.support import truth
from tests.support.factories import CPU, lease_request, measurement, operation, profile, report, table
from tests.support.lut import Lut

NEW = "field_of_a_newer_version"
MAPPINGS = {"params", "settings"}
EXACT = {"operation", "operations", "network", "networks", "runtime", "request", "missing"}
"""Fields that hold keys and orders."""


def newer(answer: Any, value: object = 1, exact: bool = False) -> Any:
    """An answer as a server sends it whose objects all have one more field; in keys and orders it is not set."""
    if isinstance(answer, list):
        return [newer(item, value, exact) for item in answer]
    if not isinstance(answer, dict):
        return answer
    objects = {
        name: item if name in MAPPINGS else newer(item, value, exact or name in EXACT) for name, item in answer.items()
    }
    return {**objects, NEW: None if exact else value}


@pytest.fixture
def newer_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def send_newer(http: httpx.Client, request: httpx.Request, retry_for_s: float, **_: bool) -> httpx.Response:
        response = send(http, request, retry_for_s)
        if not response.content:
            return response
        headers = {name: value for name, value in response.headers.items() if name in ("etag", "cache-control")}
        return httpx.Response(response.status_code, headers=headers, json=newer(response.json()), request=request)

    monkeypatch.setattr(client, "send", send_newer)


def test_a_client_reads_every_answer_of_a_newer_server(
    lut: Lut, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    by, networks = report(), truth.draw_networks(3, seed=1)
    same = truth.build_table(lut, by)
    truth.measure(lut, by, networks)
    request.getfixturevalue("newer_server")
    called = set()
    old = LutClient(lut.url, cache=tmp_path, retry_for_s=5)

    def ask(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        called.add(method.__name__)
        return method(*args, **kwargs)

    ask(old.register_device, by)
    assert ask(old.device, by.device.uuid).device == by.device
    assert [record.device for record in ask(old.devices)] == [by.device]
    job = ask(old.submit_job, profile(operation(9), operation(10)))
    lease = ask(old.claim, lease_request(by))
    assert lease.job.request == job.request
    assert not ask(old.renew, lease.id, lease.token, Progress(done=0, total=2)).cancelled
    ask(old.give_back, lease.id, lease.token)
    lease = ask(old.claim, lease_request(by))
    first, second = (measurement(lease, key, by) for key in lease.remaining)
    assert ask(old.put_measurement, first).id == first.id
    assert [receipt.id for receipt in ask(old.put_measurements, [second])] == [second.id]
    done = ask(old.complete, lease.id, lease.token, Completion())
    assert ask(old.wait_for_job, job.id).table_id == ask(old.job, job.id).table_id == done.table_id
    cancelled = ask(old.submit_job, profile(operation(11)))
    assert ask(old.cancel_job, cancelled.id).state == "cancelled"
    assert len(ask(old.jobs)) == 4
    assert {one.key for one in ask(old.measurements, job_id=job.id)} == set(job.request.keys)
    assert [summary.id for summary in ask(old.tables)] == [same.id, done.table_id]
    for _ in range(2):  # from the server, then from the cache
        again = ask(old.table, same.id)
        assert again.rows == same.rows
    assert ask(old.newest_table, "Xeon", "small", CPU).id == done.table_id
    calibration = ask(old.calibration, same.id)
    assert calibration.table_id == same.id
    assert ask(old.stored_calibration, calibration.id) == calibration
    assert [summary.id for summary in ask(old.calibrations, same.id)] == [calibration.id]
    assert [prediction.network for prediction in ask(old.predict, networks, None, CPU)] == [
        spec.digest for spec in networks
    ]
    assert ask(old.expect, [("all", networks[0], 1.0)], None, CPU)[0].raw_us > 0
    assert ask(old.forecast, profile(operation(12))).missing == 1
    assert ask(old.name_network, networks[0].digest, "the first").name == "the first"
    assert ask(old.network, networks[0].digest).network == networks[0]
    assert {record.id for record in ask(old.networks)} == {spec.digest for spec in networks}
    truth.measure(lut, report("cpu-2", "EPYC"), networks)
    definition = {"space": "small", "space_digest": networks[0].space_digest}
    assert ask(old.propose, truth.draw_networks(5, seed=9), "EPYC", CPU).measured == 3
    transfer = ask(old.make_transfer, TransferRequest(device="EPYC", runtime=CPU, **definition))
    assert ask(old.transfer, transfer.id).id == transfer.id
    assert ask(old.newest_transfer, "EPYC", **definition, runtime=CPU).evidence == transfer.evidence
    assert [summary.id for summary in ask(old.transfers)] == [transfer.id]
    assert ask(old.publications) == []
    with pytest.raises(NotFound, match="no such publication"):
        ask(old.publication, transfer.id)
    public = {name for name, member in vars(LutClient).items() if callable(member) and not name.startswith("_")}
    assert called == public - {"close"}
    old.close()


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (Runtime(), {"mode": "pytorch"}),
        (operation(), operation().model_dump(mode="json")),
        (profile(operation()), profile(operation()).model_dump(mode="json")),
    ],
    ids=["runtime", "operation", "request"],
)
def test_a_key_or_order_with_a_field_that_nobody_here_knows_is_refused(answer: Exact, value: dict[str, Any]) -> None:
    kind = type(answer)
    assert kind.model_validate({**value, NEW: None}, extra="ignore") == answer
    with pytest.raises(ValidationError, match=f"{NEW}: {kind.__name__} has no such field in this version; upgrade"):
        kind.model_validate({**value, NEW: 1}, extra="ignore")


def test_an_agent_does_no_order_that_it_knows_in_part_only(
    lut: Lut, device: DeviceReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    lut.client.submit_job(profile(operation()))

    def send_newer(http: httpx.Client, request: httpx.Request, retry_for_s: float, **_: bool) -> httpx.Response:
        lease = send(http, request, retry_for_s).json()
        lease["job"]["request"]["effort"][NEW] = 1
        return httpx.Response(200, json=lease, request=request)

    monkeypatch.setattr(client, "send", send_newer)
    with pytest.raises(LutError, match=f"job.request.effort.*{NEW}.*upgrade") as refused:
        lut.client.claim(lease_request(device))
    assert refused.value.status == 200, "to ask again does not help"


@pytest.mark.parametrize("value", [1, None])
def test_a_server_refuses_a_field_that_it_does_not_know(lut: Lut, value: object) -> None:
    for body in (
        {**profile(operation()).model_dump(mode="json"), NEW: value},
        {**profile(operation()).model_dump(mode="json"), "effort": {NEW: value}},
    ):
        answer = lut.http.put(f"/v1/jobs/{uuid6.uuid7()}", json=body)
        assert answer.status_code == 422
        assert NEW in answer.text


@pytest.mark.parametrize("where", [(), ("table",), ("table", "rows", 0, "latency")])
def test_a_file_of_a_newer_version_is_refused_and_the_message_says_so(tmp_path: Path, where: tuple[Any, ...]) -> None:
    stored = table(operation())
    content = TableFile(content_digest=stored.digest, table=stored).model_dump(mode="json")
    inner = content
    for name in where:
        inner = inner[name]
    inner[NEW] = 1
    path = tmp_path / "table.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UnreadableTable, match=f"{NEW}: .*upgrade if a newer version wrote it"):
        load_table(path)


class NewerLatency(Latency):
    p95_us: float | None = None


class NewerRow(TableRow):
    latency: NewerLatency
    energy_uj: float | None = None


class NewerTable(LatencyTable):
    rows: tuple[NewerRow, ...]
    room: str | None = None


def test_an_optional_field_that_is_not_set_changes_no_digest() -> None:
    """What was stored, exported and calibrated before the field was added stays what it is."""
    old = table(operation(), samples_us=range(1, 100))
    new = NewerTable.model_validate_json(old.model_dump_json())
    assert new.digest == old.digest
    row = new.rows[0].model_copy(update={"energy_uj": 1.0})
    assert new.model_copy(update={"rows": (row,)}).digest != old.digest


def test_a_copy_that_was_changed_has_a_digest_of_its_own() -> None:
    runtime = Runtime()
    digest = runtime.digest
    assert runtime.model_copy(update={"threads": 2}).digest == Runtime(threads=2).digest != digest
    assert runtime.model_copy().digest == digest
