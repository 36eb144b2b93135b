"""lgcnet-search profile: have agents measure what tables hold, for any number of sizes, modes, precisions, batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Annotated, cast

import typer

from latency_tables.client import JobFailed, LutClient
from latency_tables.contract import Device, Effort, Job, Mode, OperationSpec, Precision, Runtime
from lgcnet_search import jobs
from lgcnet_search.ablations.arms import ABLATIONS, ablation_named
from lgcnet_search.commands.calibrating import card_line
from lgcnet_search.commands.common import (
    Channels,
    Classes,
    Height,
    Width,
    progress_bar,
    size_of,
    space_of,
    usage,
)
from lgcnet_search.commands.server import DeviceNames, Server, Threads, Token, connected, following_job
from lgcnet_search.space.space import Space

Sizes = Annotated[
    list[str] | None, typer.Option("--size", help="HEIGHTxWIDTH; may be repeated; left out: --height and --width.")
]
Modes = Annotated[
    list[str], typer.Option("--mode", help="pytorch, pytorch-graph, onnxruntime or tensorrt; may be repeated.")
]
Precisions = Annotated[list[str], typer.Option("--precision", help="fp32, tf32, fp16, bf16 or int8; may be repeated.")]
BatchSizes = Annotated[list[int], typer.Option("--batch-size", help="Images at once; may be repeated.")]


@dataclass(frozen=True)
class Wanted:
    """One table to be made."""

    device: Device
    runtime: Runtime
    space: Space
    operations: tuple[OperationSpec, ...]

    def __str__(self) -> str:
        runtime = self.runtime
        return (
            f"{self.space.height}×{self.space.width}, {runtime.mode} {runtime.precision}, "
            f"batch {runtime.batch_size} on {self.device.name}"
        )


def profile(
    server: Server,
    device: DeviceNames = None,
    size: Sizes = None,
    mode: Modes = ["pytorch"],  # noqa: B006 (typer reads it)
    precision: Precisions = ["fp32"],  # noqa: B006
    batch_size: BatchSizes = [1],  # noqa: B006
    threads: Threads = None,
    budget: Annotated[float | None, typer.Option(help="Seconds for each table; left out: until converged.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure doubtful operations again.")] = False,
    calibrate: Annotated[
        int, typer.Option(help="Networks to measure end to end, so that the table knows its error; 0: none.", min=0)
    ] = jobs.CALIBRATION_NETWORKS,
    ablation: Annotated[
        str | None, typer.Option(help=f"Also what the arms of one need: {', '.join(ABLATIONS)}.")
    ] = None,
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    token: Token = None,
) -> None:
    """Have agents measure every operation of the space; prints a line for each table, with its id.

    Every size is measured in every mode, precision and batch size, one job each. What two of them share, and what was
    measured before under equal conditions, is measured once; with --again, doubtful operations once more.
    """
    if calibrate:
        jobs.require_calibrating(calibrate)
    sizes = [size_of("size", text) for text in size or ()] or [(height, width)]
    spaces = [space_of(*pixels, channels, classes) for pixels in dict.fromkeys(sizes)]
    with usage():
        needed = ablation_named(ablation).operations if ablation else _operations
        effort = Effort(budget_s=budget)
    with connected(server, token) as client:
        wanted = _wanted(client, device, mode, precision, batch_size, threads, spaces, needed)
        queued = [
            (one, jobs.submit_profile(client, one.operations, one.device, one.runtime, effort, again=again))
            for one in wanted
        ]
        with _following_all([job for _, job in queued]) as on_job:
            failed = [reason for one, job in queued if (reason := _finish(client, one, job, on_job))]
        for one in wanted if calibrate and not failed else ():
            _calibrate(client, one, calibrate)
    if failed:
        raise jobs.AgentError(f"{len(failed)} of {len(queued)} tables could not be made. {'; '.join(failed)}")


def _finish(client: LutClient, one: Wanted, job: Job, on_job: jobs.OnJob) -> str:
    """Wait for a table and print its line; why there is none, else nothing."""
    try:
        table = jobs.finished_table(client, job, on_job)
    except JobFailed as error:
        return f"{one}: {error}"
    doubtful = sum(not table[operation].quality.sound for operation in one.operations)
    for warning in table.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{one}: {len(one.operations)} operations, {doubtful} of them doubtful; table {table.id}")
    return ""


def _calibrate(client: LutClient, one: Wanted, networks: int) -> None:
    table = jobs.table_of(client, one.device, one.runtime)
    with following_job(f"measuring {networks} networks") as on_job:
        calibration = jobs.calibrate(client, one.space, table, networks, on_job)
    typer.echo(f"{one}: {card_line(calibration.card)}")


def _wanted(
    client: LutClient,
    devices: Sequence[str] | None,
    modes: Sequence[str],
    precisions: Sequence[str],
    batch_sizes: Sequence[int],
    threads: int | None,
    spaces: Sequence[Space],
    needed: Callable[[Space], tuple[OperationSpec, ...]],
) -> list[Wanted]:
    """Every combination, once."""
    found = [jobs.find_device(client, name) for name in devices or (None,)]
    with usage():
        runtimes = [
            (device, jobs.runtime_on(device, cast(Mode, mode), cast(Precision, precision), batch, threads))
            for device, mode, precision, batch in product(found, modes, precisions, batch_sizes)
        ]
    return [
        Wanted(device, runtime, space, needed(space))
        for (device, runtime), space in product(dict.fromkeys(runtimes), spaces)
    ]


def _operations(space: Space) -> tuple[OperationSpec, ...]:
    return space.operations


@contextmanager
def _following_all(queued: Sequence[Job]) -> Iterator[jobs.OnJob]:
    """One bar over all jobs."""
    latest = {job.id: job for job in queued}
    with progress_bar(f"{len(queued)} table(s)", None) as (progress, task):

        def on_job(job: Job) -> None:
            latest[job.id] = job
            waiting = all(other.state == "queued" for other in latest.values() if other.state != "done")
            progress.update(
                task,
                total=sum(other.progress.total for other in latest.values()),
                completed=sum(other.progress.done for other in latest.values()),
                note="waiting for an agent" if waiting and job.state == "queued" else "",
            )

        yield on_job
