"""Members of a space and their thresholds searched under ceilings: by a device's table, and by MACs beside it."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from adaptive_networks.commands.measuring import measure_networks, measure_operations
from adaptive_networks.core.evolve import Found, PathCosts, Searchable, search
from adaptive_networks.core.exits import CeilingTooLow, Operating
from adaptive_networks.core.images import Judged
from adaptive_networks.core.plugin import Choice, Plugin
from latency_tables.calibration import choose
from latency_tables.client import LutClient
from latency_tables.contract import Device, OperationSpec, Runtime
from latency_tables.latencies import basis_of
from lgcnet_search import jobs
from lgcnet_search.computing.progress import progress_bar
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


class Member(NamedTuple):
    """A member that is measured; without `operating` all images go to its end."""

    series: str
    label: str
    choice: Choice
    operating: Operating | None = None
    ceiling_us: float | None = None


def calibrated_latencies(
    client: LutClient,
    plugin: Plugin[Any],
    space: Searchable,
    operations: Sequence[OperationSpec],
    device: Device,
    runtime: Runtime,
) -> Latencies:
    """Of a space's operations inside its members: measured, and then some paths, since sums alone are far off.

    Raises JobFailed.
    """
    table = measure_operations(client, plugin.requirement, operations, device, runtime)
    members = [space.random(random.Random(seed)) for seed in range(CANDIDATES)]
    candidates = list(dict.fromkeys(path for member in members for path in plugin.paths(space, member)))
    networks = choose(table, candidates, jobs.CALIBRATION_NETWORKS, basis_of(table))
    measure_networks(client, plugin.requirement, networks, device, runtime)
    return jobs.latencies_of(client, table)


def search_members(
    plugin: Plugin[Any],
    space: Searchable,
    latencies: Latencies,
    judge: Callable[[Choice], Judged],
    wide: SearchOptions,
    ceilings_us: Sequence[float],
    seed: int,
) -> list[Member]:
    """Under each ceiling: the best by the table, the best by MACs, and the largest that always runs to its end."""
    by_table, by_macs = _costs(plugin, space, latencies)
    members: list[Member] = []
    for ceiling_us in ceilings_us or [share * by_table(space.largest)[-1] for share in SHARES]:
        for series, cost in (("by table", by_table), ("by MACs", by_macs)):
            try:
                ranked = _followed(space, cost, judge, wide, ceiling_us, series, seed)
            except CeilingTooLow as error:
                typer.echo(error)
                continue
            best, label = ranked[0], f"{ceiling_us:.0f} µs"
            members.append(Member(series, label, best.choice, best.operating, ceiling_us))
            fitting = [found.choice for found in ranked if by_table(found.choice)[-1] <= ceiling_us]
            if series == "by table" and fitting:
                static = max(fitting, key=lambda choice: by_macs(choice)[-1])
                members.append(Member("static", label, static))
    return members


def write_members(space: Searchable, members: Sequence[Member], out: Path) -> None:
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

        return search(space, cost, judged, ceiling_us, wide.generations, wide.population, seed)
