"""lgcnet-search profile: have agents measure what tables hold, for any number of sizes, modes, precisions, batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, cast, get_args

import typer

from latency_tables.client import JobFailed, LutClient, OnJob
from latency_tables.contract import Device, Effort, Job, Mode, OperationSpec, Precision, Runtime
from lgcnet_search import jobs
from lgcnet_search.ablations.arms import ABLATIONS
from lgcnet_search.commands.access import AccessOptions
from lgcnet_search.commands.calibrating import card_line
from lgcnet_search.commands.following import following, following_job, say
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import (
    AblationName,
    SpaceOptions,
    Threads,
    size_of,
    usage,
)
from lgcnet_search.known import Known, look_up
from lgcnet_search.space.space import Space


@dataclass(frozen=True)
class Planned:
    """A table to be made."""

    device: Device
    runtime: Runtime
    space: Space
    operations: tuple[OperationSpec, ...]

    def __str__(self) -> str:
        return f"{self.space.height}×{self.space.width}, {self.runtime} on {self.device.name}"


@dataclass(frozen=True)
class SweepOptions(AccessOptions):
    """What tables are made for: every combination of these."""

    device: Annotated[
        list[str] | None, typer.Option(help="UUID or name; may be repeated; left out: the only one there is.")
    ] = None
    size: Annotated[
        list[str] | None, typer.Option(help="HEIGHTxWIDTH; may be repeated; left out: --height and --width.")
    ] = None
    mode: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(get_args(Mode))}; may be repeated; left out: pytorch.")
    ] = None
    precision: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(get_args(Precision))}; may be repeated; left out: fp32.")
    ] = None
    batch_size: Annotated[list[int] | None, typer.Option(help="Images at once; may be repeated; left out: 1.")] = None
    threads: Threads = None

    def spaces(self, options: SpaceOptions) -> list[Space]:
        """One space for each size, in the order given."""
        sizes = [size_of("size", text) for text in self.size or ()]
        return [options.space(size) for size in dict.fromkeys(sizes)] or [options.space()]

    def plans(self, client: LutClient, spaces: Sequence[tuple[Space, tuple[OperationSpec, ...]]]) -> list[Planned]:
        """Every combination, once."""
        devices = [jobs.find_device(client, name) for name in self.device or (None,)]
        modes, precisions, batch_sizes = self.mode or ["pytorch"], self.precision or ["fp32"], self.batch_size or [1]
        with usage():
            runtimes = [
                # typer has no lists of literals; the runtime refuses what is none.
                (device, jobs.runtime_on(device, cast(Mode, mode), cast(Precision, precision), batch, self.threads))
                for device, mode, precision, batch in product(devices, modes, precisions, batch_sizes)
            ]
        return [
            Planned(device, runtime, space, operations)
            for (device, runtime), (space, operations) in product(dict.fromkeys(runtimes), spaces)
        ]


@grouped
def profile(
    sweep: SweepOptions,
    space: SpaceOptions,
    budget: Annotated[float | None, typer.Option(help="Seconds for each table; left out: until converged.")] = None,
    again: Annotated[bool, typer.Option("--again", metavar="", help="Measure doubtful operations again.")] = False,
    calibrate: Annotated[
        int, typer.Option(help="Networks to measure end to end, so that the table knows its error; 0: none.", min=0)
    ] = jobs.CALIBRATION_NETWORKS,
    ablation: Annotated[AblationName | None, typer.Option(help="Also what the arms of this one need.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", metavar="", help="Only say what is known, what is missing, and how long it would take."
        ),
    ] = False,
) -> None:
    """Have agents measure every operation of the space; prints a line for each table, with its id.

    Every size is measured in every mode, precision and batch size, one job each. What two of them share, and what was
    measured before under equal conditions, is measured once; with --again, doubtful operations once more.
    """
    if calibrate:
        jobs.require_calibrating(calibrate)
    spaces = sweep.spaces(space)
    operations = [ABLATIONS[ablation].operations(space) if ablation else space.operations for space in spaces]
    with usage():
        effort = Effort(budget_s=budget)
    with sweep.connected() as client:
        plans = sweep.plans(client, list(zip(spaces, operations, strict=True)))
        requests = [
            jobs.profile_request(plan.operations, plan.device, plan.runtime, effort, again=again) for plan in plans
        ]
        known = [look_up(client, plan.device, request) for plan, request in zip(plans, requests, strict=True)]
        for plan, found in zip(plans, known, strict=True):
            if dry_run:
                _show_known(plan, found, calibrate)
            for line in () if dry_run else found.outdated:
                say(f"{plan}: {line}")
        if dry_run:
            return
        queued = [(plan, client.submit_job(request)) for plan, request in zip(plans, requests, strict=True)]
        tables = f"{len(queued)} table{'s' * (len(queued) != 1)}"
        with following(tables, [job for _, job in queued]) as on_job:
            failures = [failure for plan, job in queued if (failure := _finish(client, plan, job, on_job))]
        for plan in plans if calibrate and not failures else ():
            _calibrate(client, plan, calibrate)
    if failures:
        raise jobs.AgentError(f"{len(failures)} of {len(queued)} tables could not be made. {'; '.join(failures)}")


def _finish(client: LutClient, plan: Planned, job: Job, on_job: OnJob) -> str:
    """Wait for a table and print its line; returns why there is none, else nothing."""
    try:
        table = jobs.finished_table(client, job, on_job)
    except JobFailed as error:
        return f"{plan}: {error}"
    doubtful = sum(not table[operation].quality.sound for operation in plan.operations)
    for warning in table.warnings:
        typer.echo(f"warning: {warning}", err=True)
    of = f" of {len(table.rows)}" if len(table.rows) > len(plan.operations) else ""
    typer.echo(f"{plan}: {len(plan.operations)}{of} operations, {doubtful} of them doubtful; table {table.id}")
    return ""


def _calibrate(client: LutClient, plan: Planned, networks: int) -> None:
    table = jobs.table_of(client, plan.device, plan.runtime)
    with following_job(f"measuring {networks} networks") as on_job:
        calibration = jobs.calibrate(client, plan.space, table, networks, on_job)
    typer.echo(f"{plan}: {card_line(calibration.card)}")


def _show_known(plan: Planned, known: Known, networks: int) -> None:
    """What is known of a table's operations, what is missing, and how long that takes."""
    total, missing = len(plan.operations), known.forecast.missing
    typer.echo(f"{plan}: {total} operations, {total - missing} known, {missing} to measure")
    if missing:
        typer.echo(f"  that takes {known.duration()}")
    if networks:
        typer.echo(f"  then {networks} networks are measured end to end, unless they were before")
    for line in known.not_used:
        typer.echo(f"  {line}")
