"""lgcnet-search search: networks for devices, each with its own table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from lgcnet_search import jobs
from lgcnet_search.commands.evolving import EvolutionOptions, evolve_targets
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import (
    Data,
    DevicesOptions,
    Images,
    Isolated,
    RunOptions,
    SpaceOptions,
    UsageError,
    data_folder,
    number_of,
    size_of,
    usage,
)
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.data.layouts import LAYOUTS, Layout
from lgcnet_search.data.sources import GENERATED, DataFolder
from lgcnet_search.evolution import Method
from lgcnet_search.evolution.choosing import search_by_gradient
from lgcnet_search.evolution.one_path import PathSettings
from lgcnet_search.evolution.searching import STATE, TRAINING, OnePathSupernet
from lgcnet_search.search.ceiling import UPPER_END, Ceiling, margin
from lgcnet_search.search.findings import findings
from lgcnet_search.search.logs import SearchLog
from lgcnet_search.search.report import draw_result, write_result
from lgcnet_search.search.search import SearchSettings, StepRecord, rates_for
from lgcnet_search.search.targets import Target, targets, write_summary
from lgcnet_search.search.update import Sampling
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space


@dataclass(frozen=True)
class LatencyOptions(DevicesOptions):
    """The devices to search for, and which of their latencies count."""

    table: Annotated[UUID | None, typer.Option(help="Table to use; left out: each device's newest.")] = None
    isolated: Isolated = False
    transfer: Annotated[
        bool,
        typer.Option(
            metavar="", help="By a few networks and other devices (lgcnet-search introduce), without a table."
        ),
    ] = False

    def latencies(self) -> list[Latencies]:
        """Those of every device. Raises UsageError, LutError, AgentError, TooUncertain."""
        if self.transfer and (self.table or self.isolated):
            raise UsageError("transfer: a transfer has no table and no isolated latencies; leave these options out")
        if self.transfer:
            with self.connected() as client:
                return [jobs.transfer_latencies_of(client, *target) for target in self.targets(client)]
        if self.table and len(self.device or ()) > 1:
            raise UsageError("table: one was given for several devices; leave it out to use each device's newest")
        with self.connected() as client:
            if self.table and not self.device:
                tables = [client.table(self.table)]
            else:
                tables = [jobs.table_of(client, *target, self.table) for target in self.targets(client)]
            return [jobs.latencies_of(client, table, self.isolated) for table in tables]


@dataclass(frozen=True)
class SearchOptions:
    """How networks are searched."""

    steps: Annotated[int, typer.Option(help="Updates.")] = 400
    crop: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH that the supernet is trained at; left out: the layout's.")
    ] = None
    proxy_channels: Annotated[int, typer.Option(help="The supernet's channels at full resolution.")] = 8
    beta: Annotated[str, typer.Option(help="Weight of log(LAT) in the loss (Eq. 10); several: 0.001,0.005.")] = "0.005"
    ceiling_ms: Annotated[float | None, typer.Option(help="What the network may take at most.")] = None
    quantile: Annotated[
        float | None,
        typer.Option(
            help="With which probability it stays under the ceiling; needs a calibrated table. Left out: 0.5; by a "
            "transfer 0.95, the upper end of its interval."
        ),
    ] = None
    sampling: Annotated[Sampling, typer.Option(help="soft: all candidates, weighted; hard: the sampled ones.")] = "soft"
    recompute: Annotated[
        bool, typer.Option(metavar="", help="Less memory: run each cell again in the backward pass.")
    ] = False
    method: Annotated[Method, typer.Option(help="gradient: Eq. 10; evolution: with the weights of a supernet.")] = (
        "gradient"
    )

    alpha_lr: Annotated[
        float | None, typer.Option(help="Learning rate of α; left out: 0.001 from 10000 steps on, for fewer more.")
    ] = None
    weight_lr: Annotated[
        float | None,
        typer.Option(help="First learning rate of weights; left out: 0.025 from 10000 steps on, or 0.1."),
    ] = None
    draws: Annotated[
        int,
        typer.Option(
            min=1,
            help="Networks that the final α draws; the most accurate by inherited weights, on training pictures held "
            "back, is found. 1: the most likely one.",
        ),
    ] = 1
    warm_up: Annotated[float, typer.Option(help="Share of the steps in which weights train alone, α held.")] = 0.3

    def proxy(self, space: Space, layout: Layout) -> Space:
        """The space at the size and with the channels that its supernet is trained at."""
        height, width = size_of("crop", self.crop) if self.crop else layout.crop
        with usage("crop, proxy-channels: "):
            return replace(space, height=height, width=width, channels=self.proxy_channels)

    def settings(self, seed: int, transfer: bool) -> list[SearchSettings]:
        """One for each beta."""
        usual = UPPER_END if transfer and self.ceiling_ms is not None else 0.5
        rates = rates_for(self.steps)
        first, last = rates.weight_lr
        with usage():
            settings = SearchSettings(
                steps=self.steps,
                ceiling_us=None if self.ceiling_ms is None else 1000 * self.ceiling_ms,
                quantile=usual if self.quantile is None else self.quantile,
                seed=seed,
                sampling=self.sampling,
                warm_up=self.warm_up,
                alpha_lr=rates.alpha_lr if self.alpha_lr is None else self.alpha_lr,
                weight_lr=(first if self.weight_lr is None else self.weight_lr, last),
                recompute=self.recompute,
            )
            return [replace(settings, beta=number_of("beta", text)) for text in self.beta.split(",")]


@grouped
def run(
    asked: LatencyOptions,
    search: SearchOptions,
    how: RunOptions,
    space: SpaceOptions,
    evolution: EvolutionOptions,
    data: Data = GENERATED,
    images: Images = 200,
    out: Annotated[Path, typer.Option(help="Folder for the genotype, the history and the pictures.")] = Path("runs"),
) -> None:
    """Search a network for each device and beta; writes genotype.json, history.json and pictures to OUT.

    With --method evolution, a supernet is trained path by path in --steps updates, once for all devices; then networks
    evolve under the ceiling, judged with its weights on training pictures that it has not seen.

    Several targets get a folder each in OUT, and summary.json. Under torchrun, the processes share each batch.
    """
    searched = space.space()
    proxy = search.proxy(searched, LAYOUTS[space.layout])
    settings = search.settings(how.seed, asked.transfer)
    evolving = search.method == "evolution"
    with how.begun(elsewhere=evolving and evolution.cluster is not None) as computing:
        processes = computing.processes
        devices = processes.from_first(asked.latencies() if processes.first else [])
        for latencies in devices:
            _require(searched, latencies, settings[0])
        todo = targets(devices, [setting.beta for setting in settings], out)
        files = [target.folder / STATE if evolving else target.checkpoint for target in todo]
        how.make_folders([*files, out / "supernet" / TRAINING] if evolving else files, processes)
        folder = data_folder(data, space.layout, images, 0, processes)
        if evolving:
            supernet = OnePathSupernet(
                searched, proxy, folder, how.batch, PathSettings(search.steps, how.seed), out / "supernet"
            )
            under = evolution.settings(settings[0])
            lines = evolve_targets(todo, supernet, under, evolution.engine(computing), how.save_every, computing)
            if processes.first and len(todo) > 1:
                typer.echo(write_summary(lines, out))
            return
        summaries = [
            _search(target, searched, proxy, folder, settings[0], search.draws, how, computing) for target in todo
        ]
        if processes.first and len(todo) > 1:
            _show(summaries, write_summary(summaries, out))


def _require(space: Space, latencies: Latencies, settings: SearchSettings) -> None:
    """Raises what would end the search of this table, before data are made: MissingRows, CeilingTooLow, UsageError."""
    latencies.require_space(space)
    with usage():
        margin(latencies, settings.quantile)
        if settings.ceiling_us is not None:
            Ceiling.reachable(space, latencies, settings.ceiling_us, settings.quantile)


def _search(
    target: Target,
    space: Space,
    proxy: Space,
    data: DataFolder,
    settings: SearchSettings,
    draws: int,
    how: RunOptions,
    computing: Computing,
) -> dict[str, Any]:
    """Search with a progress bar and a log, write and draw the result; returns the target's summary."""
    first = computing.processes.first
    name = target.latencies.device.name
    total = settings.steps + (draws if draws > 1 else 0)
    with (
        progress_bar(f"searching for {name}, beta {target.beta:g}", total, shown=first) as show,
        SearchLog(target.folder / "tensorboard", max(1, settings.steps // 100)) as log,
    ):

        def on_step(record: StepRecord) -> None:
            if first:
                log.step(record)
                latency = f"LAT {record.latency_us / 1000:.2f} ms  λ {record.temperature:.2f}"
                show(completed=record.step + 1, note=f"CE {record.cross_entropy:.3f}  {latency}")

        result = search_by_gradient(
            target,
            space,
            proxy,
            data,
            how.batch,
            settings,
            draws,
            computing,
            how.save_every,
            on_step=on_step,
            on_architecture=log.architecture,
            on_network=lambda done: show(completed=settings.steps + done, note="choosing among networks"),
        )
        show(completed=total)
    summary = target.summary(result)
    if first:
        found = findings(result, target.latencies)
        path = write_result(result, target.latencies, found, target.folder)
        draw_result(result, target.latencies, found, target.folder)
        lines = (
            f"{path}: {result.predicted_us / 1000:.2f} ms predicted on {name}, "
            f"{summary['parameters'] / 1e6:.2f} M parameters",
            *found.lines,
        )
        typer.echo("\n".join(lines))
    return summary


def _show(summaries: Sequence[dict[str, Any]], path: Path) -> None:
    table = Table("device", "runtime", "beta", "predicted ms", "M parameters", "CE", "folder", box=None)
    for line in summaries:
        table.add_row(
            line["device"],
            line["runtime"],
            f"{line['beta']:g}",
            f"{line['predicted_us'] / 1000:.2f}",
            f"{line['parameters'] / 1e6:.2f}",
            f"{line['cross_entropy']:.3f}",
            line["folder"],
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(str(path), soft_wrap=True)
