import threading
import time

import pytest
import uuid6

from latency_tables.client import Conflict, JobFailed, LeaseLost, NotFound
from latency_tables.contract import Completion, DeviceReport, DeviceSelector, Lease, NetworkRecord, Progress, Runtime
from lut_server import app
from lut_server.storage import predictions
from tests.support.factories import (
    CPU,
    end_to_end,
    lease_request,
    measurement,
    network,
    operation,
    profile,
    report,
)
from tests.support.lut import Lut

A, B = operation(8), operation(16)


def test_a_profile_job_ends_in_a_table_with_its_operations(lut: Lut, device: DeviceReport) -> None:
    job = lut.client.submit_job(profile(A, B))
    assert (job.state, job.progress, job.attempts) == ("queued", Progress(done=0, total=2), 0)
    lease = lut.claim(device)
    assert (lease.job.id, lease.job.state, set(lease.remaining)) == (job.id, "leased", {A.digest, B.digest})
    done = lut.finish(lease, device)
    assert (done.state, done.progress, done.attempts) == ("done", Progress(done=2, total=2), 1)
    assert done.table_id is not None
    table = lut.client.table(done.table_id)
    assert {row.operation for row in table.rows} == {A, B}
    assert table[A].latency.median_us == 100
    assert (table.device, table.environment) == (device.device, device.environment)
    assert lut.client.wait_for_job(job.id) == done


def test_completing_twice_answers_the_same_and_keys_must_be_measured(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A, B))
    lease = lut.claim(device)
    lut.client.put_measurement(measurement(lease, A.digest, device))
    with pytest.raises(Conflict, match=r"1 of 2 keys.*16×16×16"):
        lut.client.complete(lease.id, lease.token, Completion())
    assert lut.client.job(lease.job.id).state == "leased"
    lut.client.put_measurement(measurement(lease, B.digest, device))
    first = lut.client.complete(lease.id, lease.token, Completion())
    assert lut.client.complete(lease.id, lease.token, Completion()) == first
    with pytest.raises(Conflict, match="completed otherwise"):
        lut.client.complete(lease.id, lease.token, Completion(error="no"))


@pytest.mark.usefixtures("device")
def test_the_same_id_is_the_same_job(lut: Lut) -> None:
    id = uuid6.uuid7()
    assert lut.client.submit_job(profile(A), id) == lut.client.submit_job(profile(A), id)
    assert len(lut.client.jobs()) == 1
    with pytest.raises(Conflict, match="another job"):
        lut.client.submit_job(profile(B), id)


def test_measured_keys_are_never_asked_for_again(lut: Lut, device: DeviceReport) -> None:
    first = lut.run_job(profile(A), device)
    lut.client.submit_job(profile(A))
    again = lut.claim(device)
    assert again.remaining == ()
    assert lut.finish(again, device).table_id == first.table_id, "same content, same table"
    lut.client.submit_job(profile(A, B))
    assert lut.claim(device).remaining == (B.digest,)


def test_a_library_that_a_mode_does_not_load_makes_no_table_of_it_old(lut: Lut, device: DeviceReport) -> None:
    """run, `make test` (which installs ONNX Runtime), run: nothing is measured twice, and the table is the same."""
    before = lut.build_table(profile(A), device)
    more = device.environment.model_copy(update={"onnxruntime": "1.31.1", "tensorrt": "10.13"})
    installed = device.model_copy(update={"environment": more})
    lut.client.register_device(installed)
    lut.client.submit_job(profile(A))
    lease = lut.claim(installed)
    assert not lease.remaining
    assert lut.client.complete(lease.id, lease.token, Completion()).table_id == before.id
    assert before.environment == device.environment

    lut.client.submit_job(profile(A, runtime=Runtime(mode="onnxruntime", threads=1)))
    lease = lut.claim(installed)
    assert lease.remaining, "the mode that loads it measures anew"
    by = installed.model_copy(update={"environment": more.of_mode("onnxruntime")})
    table_id = lut.finish(lease, by).table_id
    assert table_id is not None
    environment = lut.client.table(table_id).environment
    assert (environment.onnxruntime, environment.tensorrt) == ("1.31.1", None)


def test_another_environment_or_method_is_measured_anew(lut: Lut, device: DeviceReport) -> None:
    lut.run_job(profile(A), device)
    lut.client.submit_job(profile(A))
    other = lut.client.claim(lease_request(device, method_version="blocks-2"))
    assert other is not None
    assert other.remaining == (A.digest,)
    lut.client.give_back(other.id, other.token)
    updated = report(torch="2.14.0")
    lut.client.register_device(updated)
    assert lut.claim(updated).remaining == (A.digest,)


def test_a_device_has_one_active_lease(lut: Lut, device: DeviceReport) -> None:
    for _ in range(2):
        lut.client.submit_job(profile(A))
    lut.claim(device)
    assert lut.client.claim(lease_request(device)) is None
    other = report("cpu-2")
    lut.client.register_device(other)
    assert lut.claim(other).job.state == "leased"


def test_claiming_again_with_one_id_gives_the_same_lease(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A))
    request = lease_request(device)
    first, second = lut.client.claim(request), lut.client.claim(request)
    assert first is not None
    assert second is not None
    assert (second.id, second.job.id, second.job.attempts) == (first.id, first.job.id, 1)
    with pytest.raises(LeaseLost, match="a later claim"):
        lut.client.renew(first.id, first.token, Progress(done=0, total=1))
    lut.client.renew(second.id, second.token, Progress(done=0, total=1))
    lut.client.give_back(second.id, second.token)
    with pytest.raises(Conflict, match="make a new one"):
        lut.client.claim(request)


def test_renewing_keeps_a_lease_and_shows_progress(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A, B))
    lease = lut.claim(device)
    for done in range(3):
        lut.clock.advance(100)
        renewal = lut.client.renew(lease.id, lease.token, Progress(done=done, total=2))
        assert (renewal.expires_at - lut.clock.now).total_seconds() == 120
    assert lut.client.job(lease.job.id).progress.done == 2
    assert lut.client.device(device.device.uuid).heartbeat_at == lut.clock.now


def test_an_expired_lease_returns_its_job_and_the_third_fails_it(lut: Lut, device: DeviceReport) -> None:
    job = lut.client.submit_job(profile(A))
    for attempt in (1, 2, 3):
        lease = lut.claim(device)
        assert lease.job.attempts == attempt
        lut.clock.advance(121)
        with pytest.raises(LeaseLost, match="expired"):
            lut.client.renew(lease.id, lease.token, Progress(done=0, total=1))
    assert lut.client.claim(lease_request(device)) is None
    with pytest.raises(JobFailed, match=r"3 attempts ended without a result.*cpu-1"):
        lut.client.wait_for_job(job.id)


@pytest.fixture
def quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SWEEP_EVERY_S", 0.02)


@pytest.mark.usefixtures("quick_sweep")
def test_leases_end_also_while_nobody_asks_for_work(lut: Lut, device: DeviceReport) -> None:
    job = lut.client.submit_job(profile(A))
    lut.claim(device)
    lut.clock.advance(121)
    give_up_at = time.monotonic() + 30
    while lut.client.job(job.id).state != "queued":
        assert time.monotonic() < give_up_at


def test_giving_back_is_no_attempt(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A))
    for _ in range(5):
        lease = lut.claim(device)
        assert lease.job.attempts == 1
        lut.client.give_back(lease.id, lease.token)
        lut.client.give_back(lease.id, lease.token)
    assert lut.finish(lut.claim(device), device).state == "done"


def test_a_late_result_is_stored_marked_and_completes_the_job(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A))
    lease = lut.claim(device)
    lut.clock.advance(121)
    assert lut.client.put_measurement(measurement(lease, A.digest, device)).late
    assert lut.client.complete(lease.id, lease.token, Completion()).state == "done"


def test_a_late_attempt_loses_to_one_that_completed(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A))
    slow = lut.claim(device)
    lut.clock.advance(121)
    fast = lut.claim(device)
    done = lut.finish(fast, device)
    late = lut.client.put_measurement(measurement(slow, A.digest, device, 300))
    assert late.late
    with pytest.raises(LeaseLost):
        lut.client.complete(slow.id, slow.token, Completion())
    assert lut.client.job(slow.job.id) == done
    assert len(lut.client.measurements(job_id=slow.job.id)) == 2


def test_a_late_failure_does_not_fail_the_job(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A))
    lease = lut.claim(device)
    lut.clock.advance(121)
    with pytest.raises(LeaseLost):
        lut.client.complete(lease.id, lease.token, Completion(error="broke"))
    assert lut.claim(device).job.attempts == 2


def test_a_late_completion_ends_the_attempt_that_runs(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A))
    slow = lut.claim(device)
    lut.clock.advance(121)
    running = lut.claim(device)
    lut.client.put_measurement(measurement(slow, A.digest, device))
    assert lut.client.complete(slow.id, slow.token, Completion()).state == "done"
    with pytest.raises(LeaseLost):
        lut.client.renew(running.id, running.token, Progress(done=0, total=1))


def test_an_agents_error_fails_the_job_and_says_why(lut: Lut, device: DeviceReport) -> None:
    job = lut.client.submit_job(profile(A))
    lease = lut.claim(device)
    lut.client.complete(lease.id, lease.token, Completion(error="pip install small"))
    with pytest.raises(JobFailed, match="pip install small") as failed:
        lut.client.wait_for_job(job.id)
    assert failed.value.job.state == "failed"


def test_cancelling(lut: Lut, device: DeviceReport) -> None:
    queued = lut.client.submit_job(profile(A))
    assert lut.client.cancel_job(queued.id).state == "cancelled"
    assert lut.client.cancel_job(queued.id).state == "cancelled"
    assert lut.client.claim(lease_request(device)) is None

    lut.client.submit_job(profile(A))
    lease = lut.claim(device)
    lut.client.cancel_job(lease.job.id)
    assert lut.client.renew(lease.id, lease.token, Progress(done=0, total=1)).cancelled
    lut.client.give_back(lease.id, lease.token)
    assert lut.client.job(lease.job.id).state == "cancelled"

    done = lut.run_job(profile(A), device)
    with pytest.raises(Conflict, match="done already"):
        lut.client.cancel_job(done.id)


def test_the_device_selector_must_match_in_every_field(lut: Lut, device: DeviceReport) -> None:
    other = report("cpu-2", name="EPYC")
    lut.client.register_device(other)
    for selector in (
        DeviceSelector(uuid="cpu-2"),
        DeviceSelector(name="EPYC"),
        DeviceSelector(kind="cuda"),
        DeviceSelector(uuid="cpu-1", name="EPYC"),
    ):
        lut.client.submit_job(profile(A, device=selector))
    assert lut.client.claim(lease_request(device)) is None
    first = lut.claim(other)
    assert first.job.request.device.uuid == "cpu-2"
    lut.finish(first, other)
    second = lut.claim(other)
    assert second.job.request.device.name == "EPYC"
    lut.finish(second, other)
    assert lut.client.claim(lease_request(other)) is None


def test_the_case_of_a_device_name_never_matters(lut: Lut, device: DeviceReport) -> None:
    """Wherever a device is named, on both databases, also beyond ASCII."""
    other = report("cpu-2", name="Über-Straße")
    lut.client.register_device(other)
    for by, name in ((device, "xEON"), (other, "ÜBER-STRASSE")):
        table = lut.build_table(profile(A, device=DeviceSelector(name=name)), by)
        assert [item.id for item in lut.client.tables(device=name)] == [table.id]
        assert lut.client.newest_table(name, "small", CPU) == table
        assert len(lut.client.measurements(device=name)) == 1
        assert lut.client.predict([network(A)], name, CPU)[0].table_id == table.id
        assert lut.client.jobs()[-1].request.device.name == name


@pytest.mark.usefixtures("device")
def test_unknown_devices_are_answered_with_those_there_are(lut: Lut) -> None:
    for call in (
        lambda: lut.client.submit_job(profile(A, device=DeviceSelector(uuid="gpu-9"))),
        lambda: lut.client.submit_job(profile(A, device=DeviceSelector(name="gpu-9"))),
        lambda: lut.client.claim(lease_request(report("gpu-9"))),
        lambda: lut.client.device("gpu-9"),
        lambda: lut.client.tables(device="gpu-9"),
        lambda: lut.client.measurements(device="gpu-9"),
        lambda: lut.client.newest_table("gpu-9", "small"),
    ):
        with pytest.raises(NotFound, match=r"gpu-9.*Xeon \(cpu-1\)"):
            call()
    assert lut.client.jobs() == []


def test_many_waiting_agents_block_nobody_and_get_a_job_when_it_comes(lut: Lut) -> None:
    reports = [report(f"cpu-{number}") for number in range(60)]  # more than the server has threads
    for agent in reports:
        lut.client.register_device(agent)
    claimed: list[Lease | None] = []
    claims = [
        threading.Thread(target=lambda agent=agent: claimed.append(lut.client.claim(lease_request(agent, wait_s=20))))
        for agent in reports
    ]
    for claim in claims:
        claim.start()
    jobs = [lut.client.submit_job(profile(A)) for _ in reports]
    for claim in claims:
        claim.join()
    assert {lease.job.id for lease in claimed if lease} == {job.id for job in jobs}


def test_a_network_job_registers_its_network_and_its_result(lut: Lut, device: DeviceReport) -> None:
    spec = network(A, B, counts=[2, 3])
    put = lut.http.put(f"/v1/networks/{spec.digest}", json=spec.model_dump(mode="json"))
    assert NetworkRecord.model_validate_json(put.content).results == ()
    table = lut.build_table(profile(A, B), device, median_us=50)
    job = lut.run_job(end_to_end(spec), device, median_us=300)
    assert (job.state, job.table_id) == ("done", None)
    (result,) = lut.client.network(spec.digest).results
    assert result.measured.median_us == 300
    assert result.raw_us == 5 * 50
    assert result.table_id == table.id
    assert [record.id for record in lut.client.networks()] == [spec.digest]


def test_submitting_a_job_predicts_none_of_its_networks(
    lut: Lut, device: DeviceReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were measured before: to predict them would hold up every writer."""
    specs = [network(A, B, counts=[n + 1, 2]) for n in range(3)]
    lut.build_table(profile(A, B), device)
    lut.run_job(end_to_end(*specs), device)
    predicted: list[object] = []
    monkeypatch.setattr(predictions, "predictor", lambda *given: predicted.append(given))
    lut.client.submit_job(end_to_end(*specs, network(B)))
    assert predicted == []
    monkeypatch.undo()
    assert {record.id for record in lut.client.networks()} == {spec.digest for spec in (*specs, network(B))}


def test_without_every_row_a_network_has_no_prediction(lut: Lut, device: DeviceReport) -> None:
    spec = network(A, B)
    lut.build_table(profile(A), device)
    lut.run_job(end_to_end(spec), device)
    (result,) = lut.client.network(spec.digest).results
    assert (result.raw_us, result.table_id) == (None, None)


def test_leases_need_their_token(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(A))
    lease = lut.claim(device)
    with pytest.raises(LeaseLost):
        lut.client.give_back(lease.id, "not the token")
    with pytest.raises(NotFound, match="no such lease"):
        lut.client.give_back(uuid6.uuid7(), lease.token)
    answer = lut.http.delete(f"/v1/leases/{lease.id}")
    assert answer.status_code == 422
    assert "lease-token" in answer.json()["detail"].lower()
    assert lut.client.job(lease.job.id).state == "leased"


def test_a_wait_beyond_the_bound_is_rejected(lut: Lut, device: DeviceReport) -> None:
    body = {**lease_request(device).model_dump(mode="json"), "wait_s": 26}
    answer = lut.http.post("/v1/leases", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.wait_s"
