"""The life of jobs and leases as a state machine, over HTTP and a real database, the clock in the test's hands.

A model of the protocol says what each call must answer; after every step the server must agree with the model.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
import uuid6
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from starlette.types import Receive, Scope, Send

from latency_tables.client import Conflict, LeaseLost, LutClient
from latency_tables.contract import Completion, DeviceSelector, Lease, LeaseRequest, Measurement, Progress, Receipt
from lut_server.app import _expire, create_app
from lut_server.storage.database import Database
from lut_server.storage.models import Base, LeaseRow, MeasurementRow
from tests.support.databases import execute
from tests.support.factories import lease_request, measurement, operation, profile, report
from tests.support.lut import Clock, serving

pytestmark = pytest.mark.process

OPERATIONS = [operation(channels) for channels in (8, 16, 32)]
AGENTS = {name: report(name) for name in ("cpu-1", "cpu-2")}
LEASE_S = 120
LEGAL: dict[str, set[str]] = {
    "queued": {"leased", "cancelled", "done"},  # done: by an attempt that had expired
    "leased": {"queued", "done", "failed", "cancelled"},
    "done": set(),
    "failed": set(),
    "cancelled": set(),
}


@dataclass
class JobModel:
    keys: list[str]
    device: str | None
    state: str = "queued"
    attempts: int = 0


@dataclass
class LeaseModel:
    """What an agent remembers of a lease, and what the server must know of it."""

    request: LeaseRequest
    token: str
    job: UUID
    expires_at: float
    state: str = "active"
    completion: Completion | None = None
    old_tokens: list[str] = field(default_factory=list)

    @property
    def device(self) -> str:
        return self.request.device


class Swappable:
    """One listening server whose application can be replaced: a restart."""

    app: FastAPI
    url: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)


class Protocol(RuleBasedStateMachine):
    server: Swappable
    fresh_url: Callable[[], str]

    leases = Bundle("leases")
    stored = Bundle("stored")
    jobs_made = Bundle("jobs_made")

    @initialize()
    def start(self) -> None:
        self.url = type(self).fresh_url()
        self.clock = Clock()
        self.jobs: dict[UUID, JobModel] = {}
        self.held: list[LeaseModel] = []
        self.receipts: dict[UUID, Receipt] = {}
        self.measured: set[tuple[str, str]] = set()
        self.database: Database | None = None
        self.client = LutClient(self.server.url, retry_for_s=60, timeout_s=60, cache=False)
        self.restart_server()
        for agent in AGENTS.values():
            self.client.register_device(agent)

    def teardown(self) -> None:
        if getattr(self, "database", None):
            assert self.database
            self.client.close()
            self.database.close()

    @property
    def now(self) -> float:
        return self.clock.now.timestamp()

    def _is_active(self, lease: LeaseModel) -> bool:
        return lease.state == "active" and lease.expires_at > self.now

    def _expire(self) -> None:
        for lease in self.held:
            if lease.state == "active" and lease.expires_at <= self.now:
                lease.state = "expired"
                job = self.jobs[lease.job]
                if job.state == "leased":
                    job.state = "failed" if job.attempts >= 3 else "queued"

    def _missing(self, lease: LeaseModel) -> set[str]:
        return {key for key in self.jobs[lease.job].keys if (lease.device, key) not in self.measured}

    @rule()
    def restart_server(self) -> None:
        if self.database:
            self.database.close()
        self.database = Database(self.url)
        self.server.app = create_app(self.database, self.clock)

    @rule(seconds=st.sampled_from([1.0, 50.0, 119.0, 120.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def server_sweeps(self) -> None:
        assert self.database
        _expire(self.database, self.clock.now)
        self._expire()

    @rule(
        target=jobs_made,
        operations=st.lists(st.sampled_from(OPERATIONS), min_size=1, unique=True),
        device=st.sampled_from([None, None, "cpu-1", "cpu-2"]),
        times=st.integers(1, 2),
    )
    def submit(self, operations: list, device: str | None, times: int) -> UUID:  # type: ignore[type-arg]
        id = uuid6.uuid7()
        request = profile(*operations, device=DeviceSelector(uuid=device))
        for _ in range(times):  # the first answer may have been lost on its way
            assert self.client.submit_job(request, id).state == "queued"
        self.jobs[id] = JobModel([item.digest for item in operations], device)
        return id

    @rule(id=jobs_made)
    def cancel(self, id: UUID) -> None:
        job = self.jobs[id]
        if job.state in ("done", "failed"):
            with pytest.raises(Conflict, match=job.state):
                self.client.cancel_job(id)
        else:
            assert self.client.cancel_job(id).state == "cancelled"
            job.state = "cancelled"

    @rule(target=leases, agent=st.sampled_from(sorted(AGENTS)))
    def claim(self, agent: str):  # type: ignore[no-untyped-def]
        self._expire()
        request = lease_request(AGENTS[agent])
        lease = self.client.claim(request)
        free = not any(held.device == agent and held.state == "active" for held in self.held)
        waiting = [id for id, job in self.jobs.items() if job.state == "queued" and job.device in (None, agent)]
        if not free or not waiting:
            assert lease is None
            return multiple()
        assert lease is not None
        assert lease.job.id == waiting[0], "the oldest first"
        job = self.jobs[lease.job.id]
        job.state = "leased"
        job.attempts += 1
        model = LeaseModel(request, lease.token, lease.job.id, self.now + LEASE_S)
        self.held.append(model)
        self._check_handed_out(lease, model)
        return model

    @rule(lease=leases)
    def agent_starts_again(self, lease: LeaseModel) -> None:
        """It remembers the id of its claim, not the answer."""
        if not self._is_active(lease):
            with pytest.raises(Conflict, match="make a new one"):
                self.client.claim(lease.request)
            return
        self._expire()
        again = self.client.claim(lease.request)
        assert again is not None
        lease.old_tokens.append(lease.token)
        lease.token = again.token
        self._check_handed_out(again, lease)

    def _check_handed_out(self, lease: Lease, model: LeaseModel) -> None:
        assert (lease.id, lease.job.id) == (model.request.id, model.job)
        assert lease.job.attempts == self.jobs[model.job].attempts
        assert set(lease.remaining) == self._missing(model)
        assert lease.expires_at.timestamp() == pytest.approx(model.expires_at)
        assert lease.token not in model.old_tokens

    @rule(lease=leases, done=st.integers(0, 3))
    def renew(self, lease: LeaseModel, done: int) -> None:
        progress = Progress(done=done, total=3)
        if not self._is_active(lease):
            with pytest.raises(LeaseLost):
                self.client.renew(lease.request.id, lease.token, progress)
            return
        renewal = self.client.renew(lease.request.id, lease.token, progress)
        lease.expires_at = self.now + LEASE_S
        assert renewal.expires_at.timestamp() == pytest.approx(lease.expires_at)
        assert renewal.cancelled == (self.jobs[lease.job].state == "cancelled")

    @rule(lease=leases)
    def someone_uses_an_old_token(self, lease: LeaseModel) -> None:
        for token in [*lease.old_tokens, "not a token"]:
            for call in (
                lambda token=token: self.client.renew(lease.request.id, token, Progress(done=0, total=1)),
                lambda token=token: self.client.complete(lease.request.id, token, Completion()),
                lambda token=token: self.client.give_back(lease.request.id, token),
            ):
                with pytest.raises(LeaseLost):
                    call()

    @rule(target=stored, lease=leases, which=st.integers(0, 2), median_us=st.sampled_from([50.0, 100.0]))
    def measure(self, lease: LeaseModel, which: int, median_us: float) -> Measurement:
        """Also long after the lease ended, from the outbox."""
        job = self.jobs[lease.job]
        key = job.keys[which % len(job.keys)]
        held = self.client.job(lease.job)
        answered = Lease(
            id=lease.request.id, token=lease.token, job=held, remaining=(), expires_at=self.clock.now, renew_every_s=20
        )
        result = measurement(answered, key, AGENTS[lease.device], median_us)
        receipt = self.client.put_measurement(result)
        on_time = any(
            self._is_active(other) and (other.device, other.job) == (lease.device, lease.job) for other in self.held
        )
        assert receipt.late == (not on_time)
        self.receipts[result.id] = receipt
        self.measured.add((lease.device, key))
        return result

    @rule(result=stored, batch=st.booleans())
    def send_again(self, result: Measurement, batch: bool) -> None:
        again = self.client.put_measurements([result])[0] if batch else self.client.put_measurement(result)
        assert again == self.receipts[result.id]

    @rule(result=stored)
    def send_something_else_under_its_id(self, result: Measurement) -> None:
        other = Measurement.model_validate({**result.model_dump(), "samples_us": (1.0,)})
        with pytest.raises(Conflict, match="never replaced"):
            self.client.put_measurement(other)

    @rule(lease=leases, error=st.sampled_from([None, None, None, "it broke"]))
    def complete(self, lease: LeaseModel, error: str | None) -> None:
        job, completion = self.jobs[lease.job], Completion(error=error)
        late = not self._is_active(lease)

        def call() -> str:
            return self.client.complete(lease.request.id, lease.token, completion).state

        if lease.completion is not None:
            if completion == lease.completion:
                assert call() == job.state
            else:
                with pytest.raises(Conflict, match="completed otherwise"):
                    call()
            return
        if lease.state == "released" or job.state in ("done", "failed") or (late and error):
            with pytest.raises(LeaseLost):
                call()
            return
        if job.state != "cancelled" and not error and self._missing(lease):
            with pytest.raises(Conflict, match="not measured yet"):
                call()
            return
        if job.state != "cancelled":
            job.state = "failed" if error else "done"
            for other in self.held:
                if other.job == lease.job and other is not lease and other.state == "active":
                    other.state = "superseded"
        assert call() == job.state
        if lease.state == "active":
            lease.state = "completed"
        lease.completion = completion

    @rule(lease=leases)
    def give_back(self, lease: LeaseModel) -> None:
        if lease.state == "released":
            self.client.give_back(lease.request.id, lease.token)
        elif not self._is_active(lease):
            with pytest.raises(LeaseLost):
                self.client.give_back(lease.request.id, lease.token)
        else:
            self.client.give_back(lease.request.id, lease.token)
            lease.state = "released"
            job = self.jobs[lease.job]
            if job.state == "leased":
                job.state = "queued"
                job.attempts -= 1

    @invariant()
    def jobs_are_what_they_should_be(self) -> None:
        before, self.seen = getattr(self, "seen", {}), {}
        for job in self.client.jobs():
            model = self.jobs[job.id]
            assert (job.state, job.attempts) == (model.state, model.attempts)
            assert 0 <= job.attempts <= 3
            assert (job.table_id is not None) == (job.state == "done")
            assert (job.error is not None) == (job.state == "failed")
            was = before.get(job.id, job.state)
            # A claim ends what is overdue before it looks for work: two moves in one step.
            assert job.state in {was} | LEGAL[was] | {then for next in LEGAL[was] for then in LEGAL[next]}
            self.seen[job.id] = job.state
        assert self.seen.keys() == self.jobs.keys(), "no job is lost"

    @invariant()
    def every_result_is_there_once(self) -> None:
        assert self.database
        with self.database.read() as session:
            stored = session.scalars(select(MeasurementRow.id)).all()
        assert sorted(stored) == sorted(self.receipts)

    @invariant()
    def leases_are_what_they_should_be(self) -> None:
        """One that expired stays so, whatever its agent sends later."""
        assert self.database
        with self.database.read() as session:
            states = dict(session.execute(select(LeaseRow.id, LeaseRow.state)).all())
        assert states == {lease.request.id: lease.state for lease in self.held}

    @invariant()
    def a_device_and_a_job_have_one_active_lease(self) -> None:
        assert self.database
        with self.database.read() as session:
            for column in (LeaseRow.device, LeaseRow.job_id):
                counts = select(func.count()).where(LeaseRow.state == "active").group_by(column)
                assert all(count == 1 for count in session.scalars(counts))


def _run(database_of: Callable[[], str], examples: int) -> None:
    swappable = Swappable()

    class OnThisDatabase(Protocol):
        server = swappable
        fresh_url = staticmethod(database_of)

    with serving(swappable) as url:
        swappable.url = url
        run_state_machine_as_test(
            OnThisDatabase,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_the_protocol_on_sqlite(sqlite_template: Path, tmp_path: Path) -> None:
    def fresh() -> str:
        path = tmp_path / f"{uuid6.uuid7()}.sqlite"
        shutil.copy(sqlite_template, path)
        return f"sqlite:///{path}"

    _run(fresh, 20)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_protocol_on_postgresql(database_url: str) -> None:
    def fresh() -> str:
        execute(make_url(database_url), f"TRUNCATE {', '.join(Base.metadata.tables)} CASCADE")
        return database_url

    _run(fresh, 10)
