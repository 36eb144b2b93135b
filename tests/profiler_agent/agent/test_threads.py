"""No thread of the agent ends without a word, whatever is raised in it."""

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uuid6

from latency_tables.contract import Lease, Measurement
from profiler_agent.agent import job as job_module
from profiler_agent.agent.job import JobRun
from profiler_agent.agent.lease import Renewal
from profiler_agent.agent.outbox import Courier, Outbox
from profiler_agent.errors import JobFailed
from profiler_agent.messages import MeasureTask
from tests.profiler_agent.agent.test_outbox import SERVER, measurement
from tests.support.agents import wait_until
from tests.support.factories import leased_job, operation, profile


def lease() -> Lease:
    job = leased_job(profile(operation()))
    now = datetime.now(timezone.utc)
    return Lease(id=uuid6.uuid7(), token="t", job=job, remaining=job.request.keys, expires_at=now, renew_every_s=0.01)


def test_the_courier_goes_on_after_an_error_that_nobody_expected(tmp_path: Path) -> None:
    outbox, result = Outbox(tmp_path, SERVER), measurement()
    outbox.put(result)
    messages: list[str] = []
    sent: list[Measurement] = []
    failures = [RuntimeError()]

    def send(result: Measurement) -> None:
        if failures:
            raise failures.pop()
        sent.append(result)

    Courier(outbox, send, messages.append)
    wait_until(lambda: len(messages) == 2)
    assert sent == [result]
    assert messages == ["results wait in the outbox: RuntimeError()", "the outbox is delivered"]


def test_a_lease_that_cannot_be_renewed_ends_its_job() -> None:
    def renew(*_: object) -> None:
        raise RuntimeError("no memory")

    reasons: list[str] = []
    with Renewal(cast(Any, SimpleNamespace(renew=renew)), lease(), reasons.append):
        wait_until(lambda: bool(reasons))
    assert reasons == ["the lease cannot be renewed: RuntimeError('no memory')"]


def test_a_measuring_process_that_cannot_be_read_fails_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreadable:
        def __init__(self, task: object) -> None: ...

        def messages(self) -> Iterator[object]:
            yield from b"\xff".decode()

        def kill(self) -> None: ...

    monkeypatch.setattr(job_module, "MeasuringProcess", Unreadable)
    leased = lease()
    task = MeasureTask(device="cpu", job=leased.job, keys=leased.remaining, threads=1, environment="0" * 64)
    reporter = cast(Any, SimpleNamespace(stop=lambda: None))
    run = JobRun(leased, task, cast(Any, None), cast(Any, None), reporter, lambda _: None)
    with pytest.raises(JobFailed, match="UnicodeDecodeError"):
        run.measure(cast(Any, None))
