"""Doubtful measurements: measured once like all others, unless a job asks for them again."""

import threading

import pytest
import uuid6

from latency_tables.client import Conflict
from latency_tables.contract import Completion, DeviceReport, JobRequest, Lease, Quality
from tests.support.commands import run
from tests.support.factories import SOUND, lease_request, measurement, operation, profile, report
from tests.support.lut import Lut

A, B = operation(8), operation(16)
NOISY = Quality(converged=True, noisy=True)


def again() -> JobRequest:
    return profile(A, B).model_copy(update={"repeat_doubtful": True})


def put(lut: Lut, by: DeviceReport, lease: Lease, median_us: float, quality: Quality) -> None:
    for key in lease.remaining:
        lut.client.put_measurement(measurement(lease, key, by, median_us, quality))


@pytest.fixture
def half_doubtful(lut: Lut, device: DeviceReport) -> DeviceReport:
    """A was measured well, B was not."""
    for spec, quality in ((A, SOUND), (B, NOISY)):
        lut.client.submit_job(profile(spec))
        lease = lut.claim(device)
        put(lut, device, lease, 100, quality)
        lut.client.complete(lease.id, lease.token, Completion())
    return device


def test_only_a_job_that_asks_for_it_measures_what_is_doubtful_again(lut: Lut, half_doubtful: DeviceReport) -> None:
    lut.client.submit_job(profile(A, B))
    usual = lut.claim(half_doubtful)
    assert usual.remaining == ()
    lut.finish(usual, half_doubtful)
    lut.client.submit_job(again())
    lease = lut.claim(half_doubtful)
    assert lease.remaining == (B.digest,)
    with pytest.raises(Conflict, match="1 of 2 keys are not measured yet"):
        lut.client.complete(lease.id, lease.token, Completion())
    done = lut.finish(lease, half_doubtful, 80)
    assert done.table_id is not None
    table = lut.client.table(done.table_id)
    assert (table[B].latency.median_us, table[B].quality) == (80, SOUND)


def test_resumed_it_repeats_nothing_even_if_it_is_doubtful_once_more(lut: Lut, half_doubtful: DeviceReport) -> None:
    lut.client.submit_job(again())
    first = lut.claim(half_doubtful)
    put(lut, half_doubtful, first, 80, NOISY)
    lut.clock.advance(121)
    second = lut.claim(half_doubtful)
    assert (second.job.id, second.remaining) == (first.job.id, ())
    assert lut.finish(second, half_doubtful).state == "done"


def test_of_two_such_jobs_the_second_repeats_what_the_first_left_doubtful(
    lut: Lut, half_doubtful: DeviceReport
) -> None:
    id = uuid6.uuid7()
    assert lut.client.submit_job(again(), id) == lut.client.submit_job(again(), id)
    with pytest.raises(Conflict, match="another job"):
        lut.client.submit_job(profile(A, B), id)
    for _ in range(2):
        lut.client.submit_job(again())
    for quality, expected in ((NOISY, (B.digest,)), (SOUND, (B.digest,)), (SOUND, ())):
        lease = lut.claim(half_doubtful)
        assert lease.remaining == expected
        put(lut, half_doubtful, lease, 80, quality)
        lut.client.complete(lease.id, lease.token, Completion())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_search_offers_it_as_an_option(lut: Lut, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lgcnet-search profile`, then the same with --again."""
    by = report(uuid="cpu-7")
    lut.client.register_device(by)
    asked: list[int] = []

    def work() -> None:
        for quality in (NOISY, SOUND, SOUND):
            lease = None
            while lease is None:
                lease = lut.client.claim(lease_request(by, wait_s=1))
            asked.append(len(lease.remaining))
            put(lut, by, lease, 10, quality)
            lut.client.complete(lease.id, lease.token, Completion())

    agent = threading.Thread(target=work)
    agent.start()
    size = ["--height", "65", "--width", "97", "--channels", "1", "--calibrate", "0"]
    for option in ([], [], ["--again"]):
        assert run(monkeypatch, "profile", "--server", lut.url, *size, *option) == 0
    agent.join()
    assert asked[0] > 0
    assert asked == [asked[0], 0, asked[0]]
