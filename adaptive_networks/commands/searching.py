"""Members of a space and their thresholds searched under ceilings: by a device's table, and by MACs beside it."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, NamedTuple

import typer
from torch import nn

from adaptive_networks.commands.measuring import measure_networks, measure_operations, result_of
from adaptive_networks.commands.training import Training
from adaptive_networks.core.evolve import Found, PathCosts, Searchable, search
from adaptive_networks.core.exits import CeilingTooLow, Operating, all_to, operate
from adaptive_networks.core.images import Images, Judged, judge_both
from adaptive_networks.core.plugin import Choice, Plugin
from adaptive_networks.core.record import Point, RatedPath, Record, moved, operated, rated_paths
from adaptive_networks.core.staged import StagedNetwork
from latency_tables.calibration import choose
from latency_tables.client import LutClient
from latency_tables.contract import Device, LatencyTable, Runtime
from latency_tables.latencies import basis_of
from lgcnet_search import jobs
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.plots.charts import PredictedPoint, predicted_against_measured
from lgcnet_search.search.ceiling import upper_end
from lgcnet_search.space.latencies import Latencies

SHARES = (0.4, 0.6, 0.8)
"""Ceilings, where none are given: of the largest member's last path."""

CANDIDATES = 100
"""Random members, of whose paths some calibrate the table that is searched with."""


@dataclass(frozen=True)
class SearchOptions:
    """How wide and how long it is searched, under each ceiling."""

    generations: Annotated[int, typer.Option(min=1, help="Generations of members.")] = 6
    population: Annotated[int, typer.Option(min=2, help="Members in a generation.")] = 24
    floor: Annotated[float, typer.Option(min=0, max=0.99, help="Share of a ceiling that a member takes at least.")] = (
        0.0
    )
    predicted: Annotated[
        int, typer.Option(min=0, help="Random members that are measured to see how well they are predicted.")
    ] = 0


class Member(NamedTuple):
    """A member that is measured; without `operating` all images go to its end."""

    series: str
    label: str
    choice: Choice
    operating: Operating | None = None
    ceiling_us: float | None = None


def found_members(
    training: Training[Any], plugin: Plugin[Any], space: Searchable, judge: Callable[[Choice], Judged]
) -> list[Member]:
    """Searched on the first device and mode that were asked for; else, or if none fits, the largest and the smallest.

    Random members are predicted on all of them. `judge` is on held-out images; options of the training's own are
    SearchOptions. Writes members.json.
    """
    asked, members, predicted = training.asked, list[Member](), training.own.predicted
    if asked is not None:
        with asked.connected() as client:
            targets = asked.targets(client)[: None if predicted else 1]
            tables = [calibrated_table(client, plugin, space, *target) for target in targets]
            for number, target in enumerate(targets if predicted else (), start=1):
                picture = training.out / f"members{'' if number == 1 else f'-{number}'}.png"
                predict_members(client, plugin, space, *target, predicted, picture)
            latencies = jobs.latencies_of(client, tables[0])
        members = search_members(plugin, space, latencies, judge, training.own, asked.ceilings_us, training.how.seed)
    members = members or [Member("static", "largest", space.largest), Member("static", "smallest", space.smallest)]
    _write(space, members, training.out)
    return members


def calibrated_table(
    client: LutClient, plugin: Plugin[Any], space: Searchable, device: Device, runtime: Runtime
) -> LatencyTable:
    """A space's operations, measured, and then some paths of its members, since sums alone are far off.

    Raises JobFailed.
    """
    table = measure_operations(client, plugin.requirement, space.operations, device, runtime)
    members = [space.random(random.Random(seed)) for seed in range(CANDIDATES)]
    candidates = list(dict.fromkeys(path for member in members for path in plugin.paths(space, member)))
    networks = choose(table, candidates, jobs.CALIBRATION_NETWORKS, basis_of(table))
    measure_networks(client, plugin.requirement, networks, device, runtime)
    return table


def predict_members(
    client: LutClient,
    plugin: Plugin[Any],
    space: Searchable,
    device: Device,
    runtime: Runtime,
    count: int,
    picture: Path,
) -> list[PredictedPoint]:
    """So many random members to their last exits, predicted from others and measured: prints errors, draws a picture.

    Raises JobFailed.
    """
    members = [space.random(random.Random(CANDIDATES + seed)) for seed in range(count)]
    networks = list(dict.fromkeys(plugin.paths(space, member)[-1] for member in members))
    predictions = client.predict(networks, device.uuid, runtime)
    measure_networks(client, plugin.requirement, networks, device, runtime)
    points = []
    for number, (network, prediction) in enumerate(zip(networks, predictions, strict=True), start=1):
        result = result_of(client, network, device, runtime)
        if result is not None and prediction.predicted_us is not None:
            between_us = prediction.low_us or 0.0, prediction.high_us or prediction.predicted_us
            point = PredictedPoint(
                str(number), prediction.predicted_us, result.measured_us, *jobs.measured_between_us(result), between_us
            )
            points.append(point)
    if not points:
        typer.echo("members: their table is not calibrated, so none is predicted")
        return []
    errors = [abs(point.predicted_us / point.measured_us - 1) for point in points]
    shown = f"{len(points)} members, {fmean(errors):.1%} off in the mean, {max(errors):.1%} at most"
    typer.echo(f"{device.name}, {runtime}: {shown}; each predicted from others")
    typer.echo(predicted_against_measured(points, picture, f"{device.name}, {runtime}\n{shown}"))
    return points


def search_members(
    plugin: Plugin[Any],
    space: Searchable,
    latencies: Latencies,
    judge: Callable[[Choice], Judged],
    wide: SearchOptions,
    ceilings_us: Sequence[float],
    seed: int,
) -> list[Member]:
    """Under each ceiling: the best by the table, the best by MACs, and the largest that always runs to its end.

    The best lie just below what they may cost. So the upper end of their predictions' intervals must be under the
    ceiling, not the prediction. The largest only where members have several exits.
    """
    by_table, by_macs = _costs(plugin, space, latencies)
    times = upper_end(latencies)
    members: list[Member] = []
    for ceiling_us in ceilings_us or [share * by_table(space.largest)[-1] for share in SHARES]:
        at_most_us = ceiling_us / times
        for series, cost in (("by table", by_table), ("by MACs", by_macs)):
            try:
                ranked = _followed(space, cost, judge, wide, at_most_us, series, seed)
            except CeilingTooLow as error:
                typer.echo(f"{error} (of {ceiling_us / 1000:.6g} ms, with a margin of {times - 1:.1%})")
                continue
            best, label = ranked[0], f"{ceiling_us:.0f} µs"
            members.append(Member(series, label, best.choice, best.operating, ceiling_us))
            fitting = [found.choice for found in ranked if by_table(found.choice)[-1] <= at_most_us]
            if series == "by table" and fitting and len(by_table(space.largest)) > 1:
                static = max(fitting, key=lambda choice: by_macs(choice)[-1])
                members.append(Member("static", label, static))
    return members


def save_members(
    training: Training[Any],
    plugin: Plugin[Any],
    space: Searchable,
    whole: nn.Module,
    images: Images,
    computing: Computing,
    members: Sequence[Member],
    deployed: Callable[[Member], StagedNetwork],
) -> Record:
    """The weights that members share, their paths, and a point for each: of what is deployed of it."""
    exits = len(space.plan(space.largest).exits)
    paths: list[RatedPath] = []
    points: list[Point] = []
    for number, member in enumerate(members):
        held_out, test = judge_both(deployed(member), images, computing)
        limits = member.operating.thresholds if member.operating else all_to(exits - 1, exits)
        operating = operate(held_out.confidence, held_out.correct, limits)
        name = f"{member.series}, {member.label}"
        labels = [name] if exits == 1 else [f"{name}, exit {exit + 1}" for exit in range(exits)]
        paths += rated_paths(plugin, space, labels, member.choice)
        point = operated(member.series, member.label, operating, test)
        points += moved([point], number * exits, len(members) * exits)
    ceilings_us = list(dict.fromkeys(member.ceiling_us for member in members if member.ceiling_us))
    return training.save(plugin, whole, images, paths, points, ceilings_us)


def _write(space: Searchable, members: Sequence[Member], out: Path) -> None:
    """members.json: the genes of each."""
    genes = {
        f"{member.series}, {member.label}": {
            name: values[index] for index, (name, values) in zip(member.choice, space.genes.items(), strict=True)
        }
        for member in members
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "members.json").write_text(json.dumps(genes, indent=1) + "\n", "utf-8")


def _costs(plugin: Plugin[Any], space: Searchable, latencies: Latencies) -> tuple[PathCosts, PathCosts]:
    """By the table; and by MACs, of which the largest member takes what the table says of it."""

    @cache
    def by_table(choice: Choice) -> Sequence[float]:
        return [latencies.network_us(network) for network in plugin.paths(space, choice)]

    whole_us = by_table(space.largest)
    per_mac_us = whole_us[-1] / plugin.macs(space, len(whole_us) - 1, space.largest)

    @cache
    def by_macs(choice: Choice) -> Sequence[float]:
        return [per_mac_us * plugin.macs(space, exit, choice) for exit in range(len(whole_us))]

    return by_table, by_macs


def _followed(
    space: Searchable,
    cost: PathCosts,
    judge: Callable[[Choice], Judged],
    wide: SearchOptions,
    ceiling_us: float,
    series: str,
    seed: int,
) -> list[Found]:
    """The search with a bar."""
    with progress_bar(
        f"searching {series} under {ceiling_us / 1000:.3g} ms", wide.generations * wide.population
    ) as show:

        def judged(choice: Choice) -> Judged:
            show(advance=1)
            return judge(choice)

        return search(space, cost, judged, ceiling_us, wide.generations, wide.population, seed, wide.floor)
