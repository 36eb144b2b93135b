"""lgcnet-search jobs: what agents measure and what waits; one job in full; and an end to it."""

from datetime import datetime, timezone
from typing import Annotated, get_args
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from latency_tables.client import LutClient
from latency_tables.contract import Job, JobState
from latency_tables.plain_text import age, plain
from lgcnet_search.commands.access import AccessOptions
from lgcnet_search.commands.following import words
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.usage import UsageError

cli = typer.Typer(help="List, show and cancel jobs of agents.", no_args_is_help=True)
OPEN: tuple[JobState, ...] = ("leased", "queued")
JobIds = Annotated[list[str], typer.Argument(help="Ids of jobs, or as much of their ends as tells them apart.")]


@grouped
def list_jobs(
    asked: AccessOptions,
    state: Annotated[
        JobState | None, typer.Option(help="Only those in this state; left out: measured or queued.")
    ] = None,
    all_states: Annotated[bool, typer.Option("--all", metavar="", help="Those that have ended too.")] = False,
) -> None:
    """List jobs: who asked for what on which device, since when, and how far it is."""
    now = datetime.now(timezone.utc)
    with asked.connected() as client:
        states = get_args(JobState) if all_states else (state,) if state else OPEN
        # Only the answer that has one job says what it waits for.
        found = [_with_waiting(client, job) for one in states for job in client.jobs(one)]
    table = Table("job", "what", "device", "asked by", "since", "state", box=None)
    for job in found:
        since = age((now - job.created_at).total_seconds())
        cells = (
            str(job.id),
            task(job),
            selector(job),
            job.requested_by or "–",
            since,
            words(job, now),
        )
        table.add_row(*(escape(plain(cell)) for cell in cells))
    if found:
        Console(highlight=False, soft_wrap=True).print(table)
    else:
        typer.echo(
            "no jobs" if all_states or state else "no jobs are measured or queued (--all lists those that ended)"
        )


@grouped
def show_job(ids: JobIds, asked: AccessOptions) -> None:
    """Show jobs in full: what they wait for, their error, their table."""
    now = datetime.now(timezone.utc)
    with asked.connected() as client:
        for job in [client.job(_find(client, text)) for text in ids]:
            lines = {
                "job": job.id,
                "what": task(job),
                "device": selector(job),
                "runtime": job.request.runtime,
                "state": words(job, now),
                "asked by": job.requested_by,
                "queued at": f"{job.created_at:%Y-%m-%d %H:%M:%S} UTC",
                "started at": job.started_at and f"{job.started_at:%Y-%m-%d %H:%M:%S} UTC",
                "attempts": job.attempts or None,
                "table": job.table_id,
                "error": job.error,
            }
            for name, value in lines.items():
                if value is not None:
                    typer.echo(plain(f"{name}: {value}"))


@grouped
def cancel(ids: JobIds, asked: AccessOptions) -> None:
    """End jobs that are queued or measured: what is measured already stays."""
    with asked.connected() as client:
        for id in [_find(client, text) for text in ids]:
            typer.echo(f"job {client.cancel_job(id).id} is cancelled")


def task(job: Job) -> str:
    """What a job measures, and at what input size."""
    request = job.request
    noun = "network" if request.networks else "operation"
    count = len(request.keys)
    size = f" at {'×'.join(map(str, job.largest_input[-2:]))}" if job.largest_input else ""
    return f"{count} {noun}{'s' * (count != 1)} of {request.space}{size}, {request.runtime.mode}"


def selector(job: Job) -> str:
    """The device that a job is for, as it was asked for."""
    asked = job.request.device
    return asked.name or asked.uuid or {"cuda": "any GPU", "cpu": "any CPU", None: "any device"}[asked.kind]


def _with_waiting(client: LutClient, job: Job) -> Job:
    return client.job(job.id) if job.state == "queued" else job


def _find(client: LutClient, text: str) -> UUID:
    """The job of an id, or of the beginning or end of one. Raises UsageError."""
    try:
        return UUID(text)
    except ValueError:
        pass
    part = text.removesuffix("…")
    every = [job.id for state in get_args(JobState) for job in client.jobs(state)]
    found = [id for id in every if str(id).startswith(part) or str(id).endswith(part)]
    if len(found) == 1:
        return found[0]
    reason = (
        "several jobs have ids that begin or end so"
        if found
        else "no job has this id; lgcnet-search jobs list lists them"
    )
    raise UsageError(f"job {text!r}: {reason}")


for name, command in {"list": list_jobs, "show": show_job, "cancel": cancel}.items():
    cli.command(name)(command)
