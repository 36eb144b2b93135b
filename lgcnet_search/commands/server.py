"""Options and steps of the commands that ask the lookup-table server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, cast

import typer

from latency_tables.client import LutClient
from latency_tables.contract import Device, Job, Mode, Precision, Runtime
from lgcnet_search import jobs
from lgcnet_search.commands.common import progress_bar, usage

Server = Annotated[str, typer.Option(help="URL of the lookup-table server.", envvar="LUT_SERVER")]
Token = Annotated[str | None, typer.Option(help="Access token.", envvar="LUT_TOKEN")]
DeviceName = Annotated[str | None, typer.Option("--device", help="UUID or name; left out: the only one there is.")]
DeviceNames = Annotated[
    list[str] | None, typer.Option("--device", help="UUID or name; may be repeated; left out: the only one there is.")
]
ModeName = Annotated[str, typer.Option("--mode", help="pytorch, pytorch-graph, onnxruntime or tensorrt.")]
PrecisionName = Annotated[str, typer.Option("--precision", help="fp32, tf32, fp16, bf16 or int8.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; left out: one on a CPU.")]


def connected(server: str, token: str | None) -> LutClient:
    """A client of the server; close it, or use it as a context."""
    with usage():
        return LutClient(server, token)


def target_of(
    client: LutClient, device: str | None, mode: str, precision: str, threads: int | None
) -> tuple[Device, Runtime]:
    """The device that is meant, and the runtime on it."""
    found = jobs.find_device(client, device)
    with usage():
        return found, jobs.runtime_on(found, cast(Mode, mode), cast(Precision, precision), threads=threads)


@contextmanager
def following_job(what: str) -> Iterator[jobs.OnJob]:
    """A bar of an agent's progress."""
    with progress_bar(what, None) as (progress, task):

        def on_job(job: Job) -> None:
            note = "waiting for an agent" if job.state == "queued" else ""
            progress.update(task, total=job.progress.total, completed=job.progress.done, note=note)

        yield on_job
