"""What people see while agents measure: a bar that moves, what a job waits for, and how to end it."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from types import FrameType
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import TextColumn, TimeElapsedColumn

from latency_tables.client import OnJob
from latency_tables.contract import Forecast, Job, remaining_s
from latency_tables.plain_text import age, plain
from lgcnet_search.computing.progress import drawn_bar
from lgcnet_search.errors import Refused

SILENT_S = 120.0
"""A device that was not heard of for so long has no agent: agents ask for work every 25 s."""

_ORDINALS = ("next", "second", "third", "fourth", "fifth")


class Interrupted(Refused):
    """The command was stopped while it waited; the message says what goes on without it."""


def words(job: Job, now: datetime) -> str:
    """What a job does, or waits for, in a few words."""
    if job.state == "leased":
        return _measuring(job, now)
    if job.state != "queued":
        return job.state
    return f"{_queued(job, now)}{forecast_words(job.forecast)}"


def _queued(job: Job, now: datetime) -> str:
    waiting = job.waiting
    if waiting is None:
        return "queued, waiting for an agent"
    device = waiting.device or "any of several devices"
    place = _ORDINALS[waiting.position - 1] if waiting.position <= len(_ORDINALS) else f"number {waiting.position}"
    queue = f"{place} in the queue of {device}"
    if waiting.seen_at is None:
        return f"{queue}, from which no agent was ever heard"
    silent_s = (now - waiting.seen_at).total_seconds()
    if silent_s > SILENT_S:
        return f"{queue}, last heard of {age(silent_s)} ago: is its agent running?"
    if waiting.busy_with is None:
        return f"{queue}, which is free"
    since = f" (for {age((now - waiting.busy_since).total_seconds())})" if waiting.busy_since else ""
    return f"{queue}, which is busy: {waiting.busy_with}{since}"


def forecast_words(forecast: Forecast | None) -> str:
    """When a job starts and how long it takes, as a part of a sentence; nothing where no job before it tells."""
    if forecast is None:
        return ""
    parts = []
    if forecast.starts_in_s:
        parts.append(f"starts in about {age(forecast.starts_in_s)}")
    if forecast.takes_s is not None:
        parts.append(f"takes about {age(forecast.takes_s)}")
    return "".join(f", {part}" for part in parts)


def _measuring(job: Job, now: datetime) -> str:
    parts = [f"{job.progress.done} of {job.progress.total} measured"]
    if job.progress.stage:
        parts.append(job.progress.stage)
    left_s = left(job, now)
    if left_s is not None:
        parts.append(f"about {age(left_s)} left")
    return ", ".join(parts)


def share(job: Job) -> float:
    """How much of a job is done, from 0 to 1."""
    return 1.0 if job.state == "done" else job.progress.fraction


def left(job: Job, now: datetime) -> float | None:
    """Seconds until a running job ends, None where nothing tells."""
    if job.started_at is None:
        return None
    takes_s = job.forecast.takes_s if job.forecast else None
    return remaining_s(job.progress, (now - job.started_at).total_seconds(), takes_s)


@contextmanager
def following_job(description: str) -> Iterator[OnJob]:
    """A bar of a job's progress; a line for every change of its state where stderr is no terminal."""
    with following(description, ()) as on_job:
        yield on_job


@contextmanager
def following(description: str, queued: Sequence[Job]) -> Iterator[OnJob]:
    """One bar over several jobs, those that are `queued` and those that are heard of later.

    At once and whenever it changes, a line says what a job that is not measured waits for. Ctrl-C and SIGTERM end the
    waiting and name the jobs that stay.

    Raises:
        Interrupted: by one of them.
    """
    latest = {job.id: job for job in queued}
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    said: dict[UUID, str] = {}
    counts = (TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with drawn_bar(description, 1.0, counts, console, console.is_terminal) as update:

        def on_job(job: Job) -> None:
            latest[job.id] = job
            now = datetime.now(timezone.utc)
            note = plain(words(job, now))
            update(completed=sum(map(share, latest.values())) / len(latest), note=note)
            # Ages and progress change all the time: where there is no bar, only what is new is a line.
            state = f"{job.state} {job.waiting.position if job.waiting else ''}"
            if said.get(job.id) != state and (not console.is_terminal or job.state == "queued"):
                console.print(f"job {job.id}: {note}", markup=False)
            said[job.id] = state

        for job in queued:
            on_job(job)
        with _terminated_is_interrupted():
            try:
                yield on_job
            except KeyboardInterrupt as error:
                raise Interrupted(_what_stays(list(latest.values()))) from error


def _what_stays(followed: Sequence[Job]) -> str:
    open_jobs = [job for job in followed if job.state in ("queued", "leased")]
    if not open_jobs:
        return "stopped"
    ids = " ".join(str(job.id) for job in open_jobs)
    how = (
        "stay queued or measured"
        if len(open_jobs) > 1
        else "stays queued"
        if open_jobs[0].state == "queued"
        else "goes on"
    )
    return f"stopped waiting; job {ids} {how}: `lgcnet-search jobs cancel {ids}` ends it"


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM as Ctrl-C, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(line: str) -> None:
    """A line for people, on stderr."""
    typer.echo(plain(line), err=True)
