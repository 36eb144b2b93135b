"""When jobs start and how long they take, from the jobs before them on their device and runtime."""

from uuid import UUID

import pytest

from latency_tables.client import NotFound
from latency_tables.contract import (
    Completion,
    DeviceReport,
    DeviceSelector,
    Forecast,
    JobRequest,
    OperationSpec,
    Progress,
    Runtime,
)
from tests.support.factories import end_to_end, lease_request, measurement, network, operation, profile
from tests.support.lut import Lut

ON_DEVICE = DeviceSelector(uuid="cpu-1")


def of(*channels: int, **changes: object) -> JobRequest:
    """A job of as many operations, of one input size whatever they are."""
    large = operation(999)
    operations: list[OperationSpec] = [*(operation(number) for number in channels), large]
    return profile(*operations, device=ON_DEVICE).model_copy(update=changes)


def forecast(lut: Lut, id: UUID) -> Forecast:
    expected = lut.client.job(id).forecast
    assert expected is not None
    return expected


def take(lut: Lut, device: DeviceReport, request: JobRequest, seconds: float) -> None:
    """A job that takes so long."""
    lut.client.register_device(device)
    lut.client.submit_job(request)
    lease = lut.claim(device)
    lut.clock.advance(seconds)
    for key in lease.remaining:
        lut.client.put_measurement(measurement(lease, key, device))
    lut.client.complete(lease.id, lease.token, Completion())


def test_jobs_before_tell_when_a_job_starts_and_how_long_it_takes(lut: Lut, device: DeviceReport) -> None:
    first = of(1)
    lut.client.register_device(device)
    assert lut.client.forecast(first) == Forecast(missing=2, takes_s=None, starts_in_s=0)
    take(lut, device, first, seconds=60)
    assert lut.client.forecast(first) == Forecast(missing=0, takes_s=0, starts_in_s=0), "all is known"
    assert lut.client.jobs("queued") == []
    other = Runtime(threads=4)
    assert lut.client.forecast(of(1, runtime=other)) == Forecast(missing=2, takes_s=None, starts_in_s=0)

    running, waiting = (lut.client.submit_job(of(*some)) for some in ((1, 2, 3), (4, 5, 6, 7)))
    assert forecast(lut, running.id) == Forecast(missing=2, takes_s=60, starts_in_s=0)
    assert forecast(lut, waiting.id) == Forecast(missing=4, takes_s=120, starts_in_s=60)
    lease = lut.claim(device)
    lut.clock.advance(20)
    assert forecast(lut, running.id) == Forecast(missing=2, takes_s=60, starts_in_s=0)
    assert forecast(lut, waiting.id).starts_in_s == 40
    page = lut.http.get("/queue").text
    assert "about 40\u202fs left" in page
    assert "takes about 2\u202fmin, starts in about 40\u202fs" in page
    lut.client.renew(lease.id, lease.token, Progress(done=0, total=4, share=0.5))
    assert forecast(lut, waiting.id).starts_in_s == 20, "its own pace tells more"
    assert [job.forecast and job.forecast.starts_in_s for job in lut.client.jobs("queued")] == [20]
    assert lut.client.forecast(of(8)).starts_in_s == 20 + 120
    lut.client.submit_job(profile(operation(9)))
    assert lut.client.forecast(of(8)).starts_in_s is None, "whoever is free takes the job before it"
    lut.clock.advance(300)
    assert forecast(lut, waiting.id) == Forecast(missing=4, takes_s=120, starts_in_s=None), "nobody heard of its agent"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_jobs_most_like_it_tell(lut: Lut, device: DeviceReport) -> None:
    """Starting takes time: few operations take longer each. Networks are another matter."""
    take(lut, device, of(), seconds=30)
    for number in range(3):
        take(lut, device, of(*range(10 * number + 10, 10 * number + 20)), seconds=50)
    take(lut, device, end_to_end(network(operation(1))), seconds=500)
    assert lut.client.forecast(of(*range(100, 109))).takes_s == pytest.approx(9 * 5)
    assert lut.client.forecast(end_to_end(network(operation(1), operation(2)))).takes_s == 500
    named = of(1, device=DeviceSelector(name="xeon"))
    assert lut.client.forecast(named).takes_s == 5
    with pytest.raises(NotFound, match="no such device"):
        lut.client.forecast(of(1, device=DeviceSelector(uuid="gone")))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_results_that_came_by_another_way_tell_nothing(lut: Lut, device: DeviceReport) -> None:
    """As those of an earlier attempt that arrive while the next one begins."""
    lut.client.register_device(device)
    other = lut.client.submit_job(of(1, 2))
    lut.client.submit_job(of(1, 2, 3))
    lut.client.cancel_job(other.id)
    lease = lut.claim(device)
    for key in lease.remaining[:2] + lease.remaining[3:]:
        lut.client.put_measurement(measurement(lease, key, device).model_copy(update={"job_id": other.id}))
    lut.clock.advance(10)
    lut.client.put_measurement(measurement(lease, lease.remaining[2], device))
    lut.client.complete(lease.id, lease.token, Completion())
    assert lut.client.forecast(of(4, 5, 6)).takes_s == 30, "10 s for the only key that it measured"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_job_of_known_keys_tells_nothing(lut: Lut, device: DeviceReport) -> None:
    lut.client.register_device(device)
    other = lut.client.submit_job(of(1))
    lut.client.submit_job(of(1))
    lut.client.cancel_job(other.id)
    lease = lut.claim(device)
    for key in lease.remaining:
        lut.client.put_measurement(measurement(lease, key, device).model_copy(update={"job_id": other.id}))
    lut.client.complete(lease.id, lease.token, Completion())
    assert lut.client.forecast(of(2)).takes_s is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lease_that_is_taken_up_again_tells_of_all_its_keys(lut: Lut, device: DeviceReport) -> None:
    lut.client.register_device(device)
    lut.client.submit_job(of(1))
    claim = lease_request(device)
    lease = lut.client.claim(claim)
    assert lease is not None
    lut.clock.advance(60)
    lut.client.put_measurement(measurement(lease, lease.remaining[0], device))
    again = lut.client.claim(claim)
    assert again is not None
    lut.clock.advance(40)
    lut.client.put_measurement(measurement(again, again.remaining[0], device))
    lut.client.complete(again.id, again.token, Completion())
    assert lut.client.forecast(of(2, 3, 4)).takes_s == 150
