"""One job in a measuring process of its own: its messages, signals and the lease's end meet in one queue."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from latency_tables.contract import Lease
from profiler_agent.agent.lease import Renewal
from profiler_agent.agent.outbox import Courier, Outbox
from profiler_agent.agent.process import MeasuringProcess
from profiler_agent.agent.reporter import Reporter
from profiler_agent.agent.signals import Stopped
from profiler_agent.errors import JobFailed, NotMeasured
from profiler_agent.messages import MeasureTask, Message, NewMeasurement, NewStandard, Preparing, RoundDone, Standard


class JobDropped(Exception):
    """The job is no longer this agent's, so its end is not reported; the message says why."""


class JobRun:
    """Measures what remains of a leased job. `drop` and `stop` may be called from anywhere, a signal handler too."""

    def __init__(
        self,
        lease: Lease,
        task: MeasureTask,
        outbox: Outbox,
        courier: Courier,
        reporter: Reporter,
        keep_standard: Callable[[Standard], None],
    ) -> None:
        self._lease = lease
        self._task = task
        self._outbox = outbox
        self._courier = courier
        self._reporter = reporter
        self._keep_standard = keep_standard
        # SimpleQueue, because its put may interrupt itself: the stop comes from a signal handler. None: all is done.
        self._events: SimpleQueue[Message | NotMeasured | JobDropped | Stopped | None] = SimpleQueue()

    def drop(self, reason: str) -> None:
        self._events.put(JobDropped(reason))

    def stop(self) -> None:
        self._events.put(Stopped())

    def measure(self, renewal: Renewal) -> None:
        """Put every result into the outbox as it comes, until all is measured.

        Raises:
            JobFailed: the job, or a part of it, cannot be measured here.
            AgentMustStop: the job is another agent's, or this one's after somebody looked at the device.
            JobDropped: the lease ended or the job was cancelled.
            Stopped: the agent was asked to stop.
            OSError: the outbox cannot be written.
        """
        total = len(self._lease.job.request.keys)
        before = total - len(self._task.keys)
        measured, share, stage = 0, before / total, "starting"

        def advance(doing: str, part: float) -> None:
            nonlocal share, stage
            share, stage = max(share, (before + part * len(self._task.keys)) / total), doing
            renewal.advance(before + measured, total, share, stage)
            self._reporter.advance(doing, measured)

        process = MeasuringProcess(self._task)
        threading.Thread(target=self._read, args=(process,), name="reader", daemon=True).start()
        try:
            while (event := self._events.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                if isinstance(event, NewMeasurement):
                    self._outbox.put(event.measurement)
                    self._courier.wake()
                    measured += 1
                    advance(stage, measured / len(self._task.keys))
                elif isinstance(event, NewStandard):
                    self._keep_standard(event.standard)
                elif isinstance(event, Preparing):
                    advance(f"building {event.done + 1} of {event.total}", 0.0)
                elif isinstance(event, RoundDone):
                    repeated = f", {event.repeated} of them repeated" if event.repeated else ""
                    advance(f"round {event.number}{repeated}, {event.open} keys open", event.share)
        finally:
            process.kill()
            self._reporter.stop()

    def _read(self, process: MeasuringProcess) -> None:
        try:
            for message in process.messages():
                self._events.put(message)
        except NotMeasured as error:
            self._events.put(error)
        except Exception as error:  # without an end the job would wait for ever
            self._events.put(JobFailed(f"the measuring process cannot be read: {error!r}"))
        else:
            self._events.put(None)
