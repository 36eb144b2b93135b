"""Hidden and removed devices; what works on a device; who asked; what a job waits for."""

import pytest

from latency_tables.client import NotFound, Rejected
from latency_tables.contract import Capability, DeviceReport, DeviceSelector, Role, Runtime
from tests.support.factories import CPU, end_to_end, network, operation, profile, report
from tests.support.guarded import Guarded, guarded_server
from tests.support.lut import Lut

WORKS = (
    Capability(mode="pytorch", precision="fp32"),
    Capability(mode="tensorrt", precision="fp32", reason="mode 'tensorrt': needs an NVIDIA GPU"),
)


def on(uuid: str) -> DeviceSelector:
    return DeviceSelector(uuid=uuid)


def hide(lut: Lut, uuid: str, hidden: bool = True) -> int:
    return lut.http.put(f"/v1/devices/{uuid}/visibility", json={"hidden": hidden}).status_code


def test_a_hidden_device_is_in_no_list_takes_no_job_and_keeps_its_tables(lut: Lut) -> None:
    gone, here = report("cpu-1"), report("cpu-2")
    table = lut.build_table(profile(operation(8)), gone)
    lut.client.register_device(here)
    with pytest.raises(Rejected, match="2 devices have this name"):
        lut.client.newest_table("Xeon", "small", CPU)
    assert hide(lut, "cpu-1") == 200
    assert [record.device.uuid for record in lut.client.devices()] == ["cpu-2"]
    assert "cpu-1" not in lut.http.get("/").text
    assert str(table.id) not in lut.http.get("/compare").text
    assert lut.client.table(table.id) == table
    assert lut.client.newest_table("cpu-1", "small", CPU).id == table.id
    with pytest.raises(NotFound, match=r"no table of Xeon"):
        lut.client.newest_table("xeon", "small", CPU)  # the name is the other one's now
    with pytest.raises(Rejected, match="hidden by an administrator"):
        lut.client.submit_job(profile(operation(16), device=on("cpu-1")))
    lut.client.submit_job(profile(operation(16)))
    lut.client.register_device(gone)
    with pytest.raises(AssertionError, match="no job to claim"):
        lut.claim(gone)
    assert lut.claim(here)
    assert hide(lut, "cpu-1", hidden=False) == 200
    assert len(lut.client.devices()) == 2


def test_only_a_device_that_measured_nothing_can_be_removed(lut: Lut) -> None:
    lut.build_table(profile(operation(8)), report("cpu-1"))
    lut.client.register_device(report("cpu-2"))
    assert lut.http.delete("/v1/devices/cpu-2").status_code == 204
    refused = lut.http.delete("/v1/devices/cpu-1")
    assert refused.status_code == 409
    assert "lut-server device hide cpu-1" in refused.json()["detail"]
    assert lut.http.delete("/v1/devices/cpu-2").status_code == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_only_administrators_hide_and_remove(database_url: str) -> None:
    with guarded_server(database_url) as guarded:
        roles: tuple[Role, ...] = ("read", "search", "agent")
        for role in roles:
            http = guarded.http(guarded.make(role).token)
            assert http.put("/v1/devices/cpu-1/visibility", json={"hidden": True}).status_code == 403
            assert http.delete("/v1/devices/cpu-1").status_code == 403


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_cannot_work_is_refused_when_it_is_asked_for(lut: Lut, device: DeviceReport) -> None:
    lut.client.register_device(device.model_copy(update={"works": WORKS}))
    assert lut.client.device("cpu-1").works == WORKS
    tensorrt = Runtime(mode="tensorrt")
    with pytest.raises(Rejected, match=r"Xeon cannot: mode 'tensorrt': needs an NVIDIA GPU\. It has pytorch fp32"):
        lut.client.submit_job(profile(operation(8), device=on("cpu-1"), runtime=tensorrt))
    lut.client.submit_job(profile(operation(8), device=on("cpu-1")))
    page = lut.http.get("/devices/cpu-1").text
    assert "needs an NVIDIA GPU" in page
    lut.client.register_device(report("cpu-2"))
    lut.client.submit_job(profile(operation(8), runtime=tensorrt))  # another one may be able to
    lut.client.register_device(device)
    assert lut.client.device("cpu-1").works == WORKS, "an agent that did not look changes nothing"


def test_a_queued_job_says_what_it_waits_for(lut: Lut, device: DeviceReport) -> None:
    first, second, third = (
        lut.client.submit_job(profile(operation(channels), device=on("cpu-1"))) for channels in (8, 16, 24)
    )
    lut.claim(device)
    lut.clock.advance(240)
    lut.client.register_device(device)
    waiting = lut.client.job(third.id).waiting
    assert waiting is not None
    assert (waiting.position, waiting.device) == (2, "Xeon")
    assert waiting.busy_with == "profile 1 operation, small"
    assert (lut.clock.now - waiting.busy_since).total_seconds() == 240 if waiting.busy_since else False
    assert lut.client.job(first.id).waiting is None
    assert lut.client.job(first.id).started_at is not None
    assert lut.client.job(second.id).waiting != waiting


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_jobs_and_tables_say_who_asked_and_for_what_size(database_url: str) -> None:
    with guarded_server(database_url) as guarded:
        lut = _as(guarded, "admin")
        job = lut.run_job(profile(operation(8)), report())
        assert (job.requested_by or "").endswith(", token test of admin")
        assert "@" in (job.requested_by or "")
        assert job.largest_input == (8, 16, 16)
        (table,) = lut.client.tables()
        assert (table.requested_by, table.largest_input) == (job.requested_by, (8, 16, 16))
        lut.client.submit_job(profile(operation(16)))
        page = lut.http.get("/queue").text
        assert "token test of admin" in page
        assert "inputs up to 16×16" in page
        forged = lut.http.put(
            f"/v1/jobs/{job.id}",
            headers={"Requested-By": "<b>boss</b>"},
            json=profile(operation(8)).model_dump(mode="json"),
        )
        assert forged.status_code == 422


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_queue_has_a_cancel_button_for_whoever_may(database_url: str) -> None:
    with guarded_server(database_url) as guarded:
        admin = _as(guarded, "admin")
        admin.client.register_device(report())
        job = admin.client.submit_job(profile(operation(8)))
        has_button: dict[Role, bool] = {"read": False, "search": True, "admin": True}
        for role in has_button:
            page = guarded.http(guarded.make(role).token).get("/queue").text
            assert (f'data-cancel="./v1/jobs/{job.id}"' in page) == has_button[role]
        running = admin.http.get("/v1/jobs", params={"state": "running"})
        assert running.json()["items"] == []
        admin.claim(report())
        assert len(admin.http.get("/v1/jobs", params={"state": "running"}).json()["items"]) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_network_has_the_name_that_it_was_given(lut: Lut, device: DeviceReport) -> None:
    spec = network(operation(8))
    with pytest.raises(NotFound, match="no such network"):
        lut.client.name_network(spec.digest, "nobody")
    lut.run_job(end_to_end(spec), device)
    for name in ("draft", "found, 25 % ceiling"):
        assert lut.client.name_network(spec.digest, name).name == name
    assert lut.client.network(spec.digest).name == name
    for path in ("/networks", f"/networks/{spec.digest}"):
        assert name in lut.http.get(path).text
    assert lut.http.put(f"/v1/networks/{spec.digest}/name", json={"name": "<b>"}).status_code == 422


def _as(guarded: Guarded, role: Role) -> Lut:
    token = guarded.make(role).token
    lut = Lut(guarded.url, guarded.clock)
    lut.http.headers["Authorization"] = lut.client._http.headers["Authorization"] = f"Bearer {token}"
    return lut
