"""One job in a measuring process of its own: its messages, signals and the lease's end meet in one queue."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from latency_tables.contract import Lease
from profiler_agent.agent.lease import Renewal
from profiler_agent.agent.outbox import Courier, Outbox
from profiler_agent.agent.process import MeasuringProcess, ProcessFailed
from profiler_agent.agent.reporter import Reporter
from profiler_agent.agent.signals import Stopped
from profiler_agent.messages import (
    Failed,
    Gone,
    Measured,
    MeasureTask,
    Message,
    Outdated,
    Preparing,
    RoundDone,
    Standard,
)


class JobDropped(Exception):
    """The job is no longer this agent's; the message says why."""


class EnvironmentChanged(Exception):
    """What the agent registered is not what it would measure with."""


class DeviceGone(Exception):
    """The device cannot be measured on any more; the message says what was seen."""


class _Ended:
    """The measuring process is done; `failure` says how it died, if it did."""

    def __init__(self, failure: str | None) -> None:
        self.failure = failure


class JobRun:
    """Measures what remains of a leased job. `drop` and `stop` may be called from anywhere, a signal handler too."""

    def __init__(
        self,
        lease: Lease,
        task: MeasureTask,
        outbox: Outbox,
        courier: Courier,
        reporter: Reporter,
        keep_standard: Callable[[dict[str, float]], None],
    ) -> None:
        self._lease = lease
        self._task = task
        self._outbox = outbox
        self._courier = courier
        self._reporter = reporter
        self._keep_standard = keep_standard
        # SimpleQueue, because its put may interrupt itself: the stop comes from a signal handler.
        self._events: SimpleQueue[Message | _Ended | JobDropped | Stopped] = SimpleQueue()

    def drop(self, reason: str) -> None:
        self._events.put(JobDropped(reason))

    def stop(self) -> None:
        self._events.put(Stopped())

    def measure(self, renewal: Renewal) -> str | None:
        """Every result into the outbox as it comes; the reason if the job failed, None if all is measured.

        Raises:
            JobDropped: the lease ended or the job was cancelled.
            DeviceGone: the job is another agent's, or this one's after the device is back.
            EnvironmentChanged: register again first.
            Stopped: the agent was asked to stop.
            OSError: the outbox cannot be written.
        """
        total = len(self._lease.job.request.keys)
        before = total - len(self._task.keys)
        measured = 0
        failure: str | None = None
        process = MeasuringProcess(self._task)
        threading.Thread(target=self._read, args=(process,), name="reader", daemon=True).start()
        try:
            while True:
                event = self._events.get()
                if isinstance(event, Measured):
                    self._outbox.put(event.measurement)
                    self._courier.wake()
                    measured += 1
                    renewal.advance(before + measured, total)
                    self._reporter.advance("measuring", measured)
                elif isinstance(event, Standard):
                    self._keep_standard(event.references)
                elif isinstance(event, Preparing):
                    self._reporter.advance(f"building {event.done + 1} of {event.total}", measured)
                elif isinstance(event, RoundDone):
                    self._reporter.advance(f"round {event.number} ({event.repeated} repeated)", measured)
                elif isinstance(event, Failed):
                    failure = event.error
                elif isinstance(event, Gone):
                    raise DeviceGone(event.error)
                elif isinstance(event, Outdated):
                    raise EnvironmentChanged
                elif isinstance(event, _Ended):
                    return failure or event.failure
                elif isinstance(event, (JobDropped, Stopped)):
                    raise event
        finally:
            process.kill()
            self._reporter.stop()

    def _read(self, process: MeasuringProcess) -> None:
        try:
            for message in process.messages():
                self._events.put(message)
        except ProcessFailed as error:
            self._events.put(_Ended(str(error)))
        except Exception as error:  # without an end the job would wait for ever
            self._events.put(_Ended(f"the measuring process cannot be read: {error!r}"))
        else:
            self._events.put(_Ended(None))
