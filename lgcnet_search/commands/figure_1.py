"""lgcnet-search figure-1: published networks and searched ones on a device, accuracy against speed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from latency_tables.client import JobFailed, LutClient
from latency_tables.contract import Device, Effort, OperationSpec, Runtime
from lgcnet_search import jobs
from lgcnet_search.commands.following import following_job
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import DeviceOptions, UsageError, size_of, usage
from lgcnet_search.data.views import Size
from lgcnet_search.plots.published import SpeedPoint, accuracy_against_speed
from lgcnet_search.space.genotype import Genotype, described_genotype
from lgcnet_search.space.space import Space
from published_networks.catalogue import NETWORKS
from published_networks.convention import Convention
from published_networks.facts import ENTRIES, FOUND, Data, Entry
from published_networks.plugin import operation, space
from published_networks.standing import Standing, here, key_of, keyed, markdown, number, once, published, standings

PAPER_PARAMETERS = 2.09e6
"""Table VI d: what LGCNet's own network has."""
SEED = 58
"""Of 60 networks as the paper describes its own, the nearest in parameters: 2.094 million."""
DATA: Data = "Cityscapes"


@dataclass(frozen=True)
class ConventionOptions:
    """How networks are deployed for timing."""

    fold: Annotated[bool, typer.Option(metavar="", help="Fold BatchNorm into the convolutions before it.")] = True
    auxiliary: Annotated[bool, typer.Option(metavar="", help="Keep heads that only training needs.")] = False
    upsampling: Annotated[bool, typer.Option(metavar="", help="Bring the logits to the input's size.")] = True

    @property
    def convention(self) -> Convention:
        return Convention(self.fold, self.auxiliary, self.upsampling)


@grouped
def figure_1(
    asked: DeviceOptions,
    how: ConventionOptions,
    genotypes: Annotated[list[Path] | None, typer.Argument(help="genotype.json of searched networks.")] = None,
    miou: Annotated[
        list[float] | None, typer.Option(help="Percent on Cityscapes of each of them, in their order; else a line.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Networks to measure, may be repeated: {', '.join(NETWORKS)}, {FOUND}.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH for all; left out: that of each publication.")] = None,
    read: Annotated[
        bool, typer.Option("--read", metavar="", help="Measure nothing; show what was measured before.")
    ] = False,
    budget: Annotated[float, typer.Option(help="Seconds of measuring for each network.")] = 30,
    out: Annotated[Path, typer.Option(help="Folder for figure-1.png and figure-1.md.")] = Path("runs/figure-1"),
) -> None:
    """Have a device measure the published networks; draws Figure 1 and writes Tables IV and V with its column.

    A network that the agent cannot build is left out with a message. LGCNet's paper shows its own network in pictures
    only: a random one with the numbers that it gives stands for it.
    """
    unknown = sorted(set(only or ()) - {*NETWORKS, FOUND})
    if unknown:
        raise UsageError(f"only: {unknown[0]!r} is no network; known are {', '.join((*NETWORKS, FOUND))}")
    at = size_of("size", size) if size else None
    asked_for = [entry for entry in ENTRIES if entry.network and (not only or entry.network in only)]
    entries = once(asked_for) if at else asked_for
    searched = [(f"{path.parent.name}/{path.stem}", Genotype.load(path)) for path in genotypes or ()]
    if miou and len(miou) != len(searched):
        raise UsageError(f"miou: {len(miou)} given for {len(searched)} genotypes; give one for each, or none")
    convention = how.convention
    with asked.connected() as client:
        device, runtime = asked.target(client)
        with usage():
            effort = Effort(budget_s=budget)
        if not read:
            _measure(client, _operations(entries, at, convention), device, runtime, effort)
        table = client.newest_table(device.uuid, space.name, runtime, space.digest)
        rows = standings(keyed(table.rows, convention), at, entries)
        if convention == Convention():
            rows = _with_found(client, rows, at, device, runtime, effort, read)
        elif searched or any(entry.network == FOUND for entry in entries):
            typer.echo("LGCNet's networks are left out: their space deploys them in one convention only", err=True)
            searched = []
        points = [_point(row) for row in rows if row.fps and row.entry.data == DATA and row.entry.miou is not None]
        latencies = _latencies(client, [genotype for _, genotype in searched], device, runtime, effort, read)
        percents: Sequence[float | None] = miou or [None] * len(searched)
        for (name, _), latency, percent in zip(searched, latencies, percents, strict=True):
            typer.echo(f"{name}: {number(1e6 / latency)} a second, searched" if latency else f"{name}: not measured")
            if latency:
                points.append(SpeedPoint(name, percent, 1e6 / latency, searched=True))
    for row in rows:
        typer.echo(f"{row.entry.title}, {row.entry.data}: {here(row)} a second; published {published(row.entry)}")
    name = f"{device.name}, {runtime.mode}"
    out.mkdir(parents=True, exist_ok=True)
    (out / "figure-1.md").write_text(markdown(rows, name, convention), "utf-8")
    typer.echo(out / "figure-1.md")
    if points:
        where = f", all at {at[0]}×{at[1]}, mIoU at the papers’ sizes" if at else ""
        typer.echo(accuracy_against_speed(points, out / "figure-1.png", f"Cityscapes on {name}{where}\n{convention}"))


def _point(row: Standing) -> SpeedPoint:
    assert row.fps is not None
    assert row.entry.miou is not None
    searched = row.entry.network == FOUND
    return SpeedPoint(row.entry.title, row.entry.miou, row.fps, row.published_fps, searched)


def _operations(entries: Sequence[Entry], size: Size | None, convention: Convention) -> list[OperationSpec]:
    keys = dict.fromkeys(key_of(entry, size) for entry in entries if entry.network != FOUND)
    return [operation(*key, convention=convention) for key in keys if key]


def _measure(
    client: LutClient, operations: Sequence[OperationSpec], device: Device, runtime: Runtime, effort: Effort
) -> None:
    """A job for each network, so that one that cannot be built costs the figure only itself."""
    queued = [client.submit_job(space.request([spec], device.uuid, runtime, effort)) for spec in operations]
    for at, (spec, job) in enumerate(zip(operations, queued, strict=True), start=1):
        with following_job(f"{at} of {len(queued)}: {spec.name}") as on_job:
            try:
                client.wait_for_job(job.id, on_job)
            except JobFailed as error:
                typer.echo(f"left out: {error}", err=True)


def _with_found(
    client: LutClient,
    rows: Sequence[Standing],
    size: Size | None,
    device: Device,
    runtime: Runtime,
    effort: Effort,
    read: bool,
) -> list[Standing]:
    """The rows, LGCNet's own with the latency of the network that stands for it."""
    places = [row for row in rows if row.entry.network == FOUND]
    sizes = [size or (row.entry.height, row.entry.width) for row in places]
    genotypes = [found(place.entry.classes, *at) for place, at in zip(places, sizes, strict=True)]
    latencies = _latencies(client, genotypes, device, runtime, effort, read)
    measured = {
        place.entry: Standing(place.entry, latency, *at)
        for place, at, latency in zip(places, sizes, latencies, strict=True)
    }
    return [measured.get(row.entry, row) for row in rows]


@cache
def found(classes: int = 19, height: int = 769, width: int = 1537) -> Genotype:
    """The network that stands for LGCNet's own, which the paper shows as pictures and numbers."""
    paper = Space()
    return described_genotype(paper, SEED).at(replace(paper, classes=classes, height=height, width=width))


def _latencies(
    client: LutClient, genotypes: Sequence[Genotype], device: Device, runtime: Runtime, effort: Effort, read: bool
) -> list[float | None]:
    """Microseconds of networks of the LGCNet space; None for one that was not measured and is not to be now."""
    if not genotypes:
        return []
    if not read:
        job = jobs.submit_measurement(client, genotypes, device, runtime, effort)
        with following_job(f"measuring {len(genotypes)} of LGCNet") as on_job:
            return [result.measured_us for result in jobs.measured(client, job, genotypes, device, runtime, on_job)]
    return [jobs.measured_us(client, genotype, device, runtime) for genotype in genotypes]
