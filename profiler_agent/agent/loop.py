"""The agent: takes jobs from the server one by one, has them measured, and reports, until it is stopped."""

import random
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from latency_tables.client import Conflict, LutClient, LutError, NotFound
from latency_tables.contract import Completion, DeviceReport, Lease, LeaseRequest
from latency_tables.plain_text import plain
from profiler_agent.agent.job import JobDropped, JobRun
from profiler_agent.agent.lease import Renewal
from profiler_agent.agent.outbox import Courier, Outbox
from profiler_agent.agent.refusals import is_refusal, may_come_later
from profiler_agent.agent.reporter import Reporter
from profiler_agent.agent.signals import Stopped, StopSignal
from profiler_agent.agent.state import DeviceState
from profiler_agent.errors import AgentMustStop, JobFailed
from profiler_agent.measuring.procedure import METHOD_VERSION
from profiler_agent.messages import Inspected, MeasureTask

Answer = TypeVar("Answer")

CLAIM_WAIT_S = 25.0
MAX_RETRY_WAIT_S = 10.0
POLL_S = 0.05
HOW_TO_GO_ON = "Start the agent again once the device is well"
MAX_ERROR = 4000


class Agent:
    """Serves one device. Measuring happens in a process per job, sending and renewing in threads beside it."""

    def __init__(
        self,
        url: str,
        token: str | None,
        inspected: Inspected,
        state: DeviceState,
        stop: StopSignal,
        reporter: Reporter,
        *,
        threads: int | None = None,
        trace: Path | None = None,
    ) -> None:
        self._url = url
        self._token = token
        self._inspected = inspected
        self._state = state
        self._stop = stop
        self._reporter = reporter
        self._threads = threads
        self._trace = trace
        self._client = LutClient(url, token, retry_for_s=1)
        self._outbox = Outbox(state.folder / "outbox", url)
        self._courier = Courier(self._outbox, self._client.put_measurement, reporter.say)
        self._lease: Lease | None = None
        self._claiming: LeaseRequest | None = None

    def run(self, *, once: bool = False) -> None:
        """Work until SIGINT or SIGTERM; with `once` until nothing is queued for this device.

        Raises:
            LutError: the server refuses this agent.
            AgentMustStop: the device is lost or fails, or its software or settings changed while the agent ran.
            OSError: the outbox cannot be written.
        """
        try:
            self._register()
            self._empty_outbox()
            while lease := self._claim(once):
                self._work(lease)
        except Stopped:
            self._reporter.say("stopping")
            self._hand_back()
        except AgentMustStop as error:
            self._hand_back()
            raise AgentMustStop(f"{error}; its job is handed back. {HOW_TO_GO_ON}") from error
        except BaseException:
            self._hand_back()
            raise
        waiting = len(self._outbox.pending())
        if waiting:
            self._reporter.say(f"{waiting} results wait in the outbox; the next start sends them")

    def _register(self) -> None:
        device = self._inspected.device
        report = DeviceReport(
            device=device,
            environment=self._inspected.environment,
            agent=f"profiler-agent {version('lgcnet')}",
            works=self._inspected.works,
        )
        self._ask(lambda: self._client.register_device(report))
        self._reporter.say(f"{device.name} ({device.uuid}) is registered at {self._url}")
        for remark in self._inspected.remarks:
            self._reporter.say(f"note: {remark}")

    def _empty_outbox(self) -> None:
        with self._stop.interrupts():
            while self._outbox.pending():
                time.sleep(POLL_S)

    def _claim(self, once: bool) -> Lease | None:
        """The next lease; None only with `once`, when nothing is queued."""
        while True:
            request = self._claim_request(0.0 if once else CLAIM_WAIT_S)
            self._claiming = request
            try:
                lease = self._ask(partial(self._client.claim, request))
            except Conflict:  # this id's lease, from before a crash, has ended
                self._state.end_claim()
                continue
            except NotFound:  # another database than the one that we registered with
                self._register()
                continue
            self._claiming, self._lease = None, lease
            if lease or once:
                return lease

    def _claim_request(self, wait_s: float) -> LeaseRequest:
        return LeaseRequest(
            id=self._state.claim_id(),
            device=self._inspected.device.uuid,
            environment=self._inspected.environment.digest,
            method_version=METHOD_VERSION,
            wait_s=wait_s,
        )

    def _work(self, lease: Lease) -> None:
        # The server leases a job in the environment of its mode.
        environment = self._inspected.environment.of_mode(lease.job.request.runtime.mode).digest
        conditions = (METHOD_VERSION, environment, lease.job.request.runtime.digest, str(self._threads))
        task = MeasureTask(
            device=self._inspected.torch_device,
            job=lease.job,
            keys=lease.remaining,
            threads=self._threads,
            environment=environment,
            standard=self._state.standard(conditions),
            trace=None if self._trace is None else str(self._trace.resolve()),
        )
        keep = partial(self._state.keep_standard, conditions)
        run = JobRun(lease, task, self._outbox, self._courier, self._reporter, keep)
        remaining, total = len(lease.remaining), len(lease.job.request.keys)
        if task.keys:
            self._reporter.start(f"job {lease.job.id}: {remaining} of {total} keys", remaining)
        started_s = time.monotonic()
        error: str | None = None
        try:
            with Renewal(self._client, lease, run.drop) as renewal:
                try:
                    with self._stop.calling(run.stop):
                        if task.keys:
                            run.measure(renewal)
                except JobFailed as failure:
                    error = str(failure)
                self._complete(lease, error)
        except JobDropped as reason:
            self._reporter.say(f"job {lease.job.id} dropped: {reason}")
            self._hand_back()
            return
        self._lease = None
        self._state.end_claim()
        outcome = f"failed: {error}" if error else "done"
        self._reporter.say(f"job {lease.job.id} {outcome} after {time.monotonic() - started_s:.0f} s")

    def _complete(self, lease: Lease, error: str | None) -> None:
        """Report the end of a job once all of its results are delivered."""
        self._empty_outbox()
        try:
            self._end(lease, error)
        except Conflict as conflict:  # results were refused: the reasons lie beside them
            if error is not None:
                raise
            reason = f"{conflict} (results that the server refused are kept in {self._outbox.rejected} on the agent)"
            self._end(lease, plain(reason)[:MAX_ERROR])
            raise JobDropped(reason) from conflict

    def _end(self, lease: Lease, failure: str | None) -> None:
        try:
            self._ask(lambda: self._client.complete(lease.id, lease.token, Completion(error=failure)))
        except Conflict:
            raise
        except LutError as error:
            if not is_refusal(error):
                raise
            raise JobDropped(str(error)) from error

    def _hand_back(self) -> None:
        """Return the current job. A server that is away is not waited for: the next start then resumes the job."""
        with LutClient(self._url, self._token, timeout_s=3, retry_for_s=0) as client:
            try:
                if self._claiming:  # an interrupted claim may have got a lease: the same id returns it
                    self._lease = client.claim(self._claiming.model_copy(update={"wait_s": 0.0}))
                if self._lease:
                    client.give_back(self._lease.id, self._lease.token)
            except LutError as error:
                if not is_refusal(error):
                    return
        self._state.end_claim()
        self._lease = self._claiming = None

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        """Ask the server until it answers: an absence is waited out; a signal interrupts the wait.

        Raises:
            LutError: the server refuses.
        """
        wait_s, is_reported = 1.0, False
        with self._stop.interrupts():
            while True:
                try:
                    return call()
                except LutError as error:
                    if not may_come_later(error):
                        raise
                    if not is_reported:
                        self._reporter.say(f"waiting for the server: {error}")
                        is_reported = True
                time.sleep(random.uniform(wait_s / 2, wait_s))
                wait_s = min(MAX_RETRY_WAIT_S, wait_s * 2)
