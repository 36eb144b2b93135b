"""lgcnet-search ablate: the paper's ablations, each by its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TypedDict
from uuid import UUID

import typer
from rich.console import Console
from rich.markdown import Markdown

from latency_tables.client import LutClient, load_calibration, load_table
from latency_tables.client.connecting import token_of
from latency_tables.contract import LatencyTable, MissingRows
from lgcnet_search import jobs
from lgcnet_search.ablations.advantages import markdown as levels_markdown
from lgcnet_search.ablations.advantages import write_levels
from lgcnet_search.ablations.arms import ABLATIONS, GENERATED, Ablation
from lgcnet_search.ablations.comparison import write_section
from lgcnet_search.ablations.equal_latency import make_levels
from lgcnet_search.ablations.network import Study, Trial
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.runner import OnOutcome, OnTrialProgress, make_all, trials_of
from lgcnet_search.ablations.scale import Scale, scale_of
from lgcnet_search.ablations.tables import markdown, rows_of, write_tables
from lgcnet_search.commands.access import TokenFile
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import (
    AblationName,
    AtOnce,
    Cluster,
    ComputingOptions,
    DeviceName,
    Isolated,
    ModeName,
    PrecisionName,
    ScaleName,
    SpaceOptions,
    Threads,
    Token,
    UsageError,
    data_folder,
    engine_of,
    size_of,
    usage,
)
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.data.sources import GENERATED as GENERATED_DATA
from lgcnet_search.data.sources import GENERATED_SIZE
from lgcnet_search.search.update import Sampling
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space

Steps = Annotated[int | None, typer.Option(help="Updates; left out: the scale's.")]
Batch = Annotated[int | None, typer.Option(help="Images in an update; left out: the scale's.")]
Channels = Annotated[int | None, typer.Option(help="Channels at full resolution; left out: the scale's.")]
SizeText = Annotated[str | None, typer.Option(help="HEIGHTxWIDTH; left out: the scale's.")]
Rate = Annotated[float | None, typer.Option(help="Left out: the scale's.")]


@dataclass(frozen=True)
class TableOptions:
    """The latency table, with its calibration where it has one."""

    server: Annotated[str | None, typer.Option(help="URL of the lookup-table server.", envvar="LUT_SERVER")] = None
    table_file: Annotated[
        Path | None,
        typer.Option(help="A table that lut-server exported, the calibration beside it: no server is asked."),
    ] = None
    table: Annotated[UUID | None, typer.Option(help="Table of the server; left out: the newest that fits.")] = None
    isolated: Isolated = False
    device: DeviceName = None
    mode: ModeName = "pytorch"
    precision: PrecisionName = "fp32"
    threads: Threads = None
    token: Token = None
    token_file: TokenFile = None

    def load(self, ablation: Ablation, space: Space) -> Latencies:
        """Of a table that has all rows of all arms. Raises UsageError, LutError, AgentError, MissingRows."""
        latencies = self._load()
        latencies.require_space(space)
        try:
            latencies.require(ablation.operations(space))
        except MissingRows as error:
            raise UsageError(f"{error} lgcnet-search profile --ablation {ablation.name} does.") from error
        return latencies

    def _load(self) -> Latencies:
        if self.table_file:
            table = load_table(self.table_file)
            return Latencies(table, None if self.isolated else load_calibration(self.table_file))
        if self.server is None:
            raise UsageError("server, table-file: give the URL of a server, or a file with a table")
        with usage():
            client = LutClient(self.server, token_of(self.token, self.token_file))
        with client:
            return jobs.latencies_of(client, self._newest(client), self.isolated)

    def _newest(self, client: LutClient) -> LatencyTable:
        if self.table and not self.device:
            return client.table(self.table)
        device = jobs.find_device(client, self.device)
        with usage():
            runtime = jobs.runtime_on(device, self.mode, self.precision, threads=self.threads)
        return jobs.table_of(client, device, runtime, self.table)


@dataclass(frozen=True)
class ScaleOptions:
    """Changes of the scale."""

    search_steps: Steps = None
    search_batch: Batch = None
    crop: SizeText = None
    proxy_channels: Channels = None
    sampling: Annotated[Sampling | None, typer.Option(help="Left out: the scale's.")] = None
    alpha_lr: Rate = None
    supernet_steps: Annotated[int | None, typer.Option(help="Evolution's updates; left out: the scale's.")] = None
    train_steps: Steps = None
    train_batch: Batch = None
    train_crop: SizeText = None
    train_channels: Channels = None
    learning_rate: Rate = None
    input_size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of whole images; left out: the scale's.")] = None

    def changed(self, scale: Scale) -> Scale:
        """The scale with these changes. Raises UsageError."""
        changes = asdict(self)
        for name in ("crop", "train_crop", "input_size"):
            if changes[name] is not None:
                changes[name] = size_of(name.replace("_", "-"), changes[name])
        with usage():
            return scale.with_(**changes)


@dataclass(frozen=True)
class FindingOptions(ScaleOptions):
    """Changes of the scale, also of how a network is chosen once its supernet is trained."""

    draws: Annotated[
        int | None, typer.Option(help="Networks that α draws, to choose among; left out: the scale's.")
    ] = None
    generations: Annotated[int | None, typer.Option(help="Evolution's; left out: the scale's.")] = None
    population: Annotated[int | None, typer.Option(help="Evolution's; left out: the scale's.")] = None


ABLATING = ComputingOptions(workers=0)


@grouped
def ablate(
    name: Annotated[AblationName, typer.Argument(help="A table or figure of the paper, generated, or equal-latency.")],
    table: TableOptions,
    changes: FindingOptions,
    space: SpaceOptions,
    how: ComputingOptions = ABLATING,
    seeds: Annotated[int | None, typer.Option(help="Networks of each row; left out: as many as the paper's.")] = None,
    scale: Annotated[ScaleName | None, typer.Option(help="Left out: paper, for generated small.")] = None,
    data: Annotated[
        str, typer.Option(help="A folder of the layout, or 'generated' for street scenes.")
    ] = GENERATED_DATA,
    images: Annotated[int, typer.Option(min=1, help="Street scenes to generate for training.")] = 400,
    held_out: Annotated[int, typer.Option(min=1, help="Street scenes to generate for evaluation.")] = 100,
    fps_floor: Annotated[float | None, typer.Option(help="In place of the paper's 100 FPS (Table VII b).")] = None,
    ceiling_ms: Annotated[
        list[float] | None,
        typer.Option(help="Of equal-latency, in place of the fastest 25 and 5 % of random networks; may be repeated."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Of equal-latency: guided, independent or evolution; may be repeated; left out: all."),
    ] = None,
    at_once: AtOnce = 1,
    cluster: Cluster = None,
    out: Annotated[Path | None, typer.Option(help="Folder; left out: runs/NAME.")] = None,
) -> None:
    """Make all networks of an ablation and write its table: NAME.md, NAME.csv, NAME.json, NAME.png in OUT.

    equal-latency compares found networks with random ones that are as fast, at two ceilings; its table has the mean
    advantage with its interval.

    What OUT holds already is not made again: the same command goes on where it was stopped. Under torchrun, the
    processes share each batch.
    """
    searched = space.space()
    with usage():
        ablation = ABLATIONS[name] if fps_floor is None else ABLATIONS[name].with_floor(fps_floor)
        ablation = ablation.with_ceilings(ceiling_ms) if ceiling_ms else ablation
        ablation = ablation.only(arm) if arm else ablation
        trials = trials_of(ablation, ablation.repeats if seeds is None else seeds)
    size = changes.changed(scale_of(scale or ("small" if ablation is GENERATED else "paper"), space.layout))
    with how.launched(elsewhere=cluster is not None) as computing:
        processes = computing.processes
        with usage():
            for batch in (size.search_batch, size.train_batch):
                computing.share(batch)
        engine = engine_of(at_once, cluster, computing)
        latencies = processes.from_first(table.load(ablation, searched) if processes.first else None)
        assert latencies, "the first process has the table, or has raised"
        folder = data_folder(data, space.layout, images, held_out, processes, min(GENERATED_SIZE, size.input_size))
        study = Study(searched, latencies, size, folder, out or Path("runs") / ablation.name)
        if ablation.ceilings:
            _compare(ablation, study, ablation.repeats if seeds is None else seeds, computing, engine)
            return
        with following(ablation.name, len(trials), computing) as told:
            outcomes = make_all(study, trials, computing, engine=engine, **told)
        if processes.first:
            paths = write_tables(ablation, study, outcomes)
            if ablation is GENERATED:
                paths += write_section(study, outcomes)
            Console().print(Markdown(markdown(ablation, rows_of(ablation, outcomes))))
            typer.echo("\n".join(map(str, paths)))


def _compare(ablation: Ablation, study: Study, seeds: int, computing: Computing, engine: Engine) -> None:
    """The comparison at equal latency."""
    count = seeds * len(ablation.arms) * len(ablation.ceilings_us or ablation.ceilings)
    with following(ablation.name, count, computing) as told:
        levels = make_levels(ablation, study, seeds, computing, engine=engine, **told)
    if computing.processes.first:
        paths = write_levels(ablation, study, levels)
        Console().print(Markdown(levels_markdown(ablation, levels)))
        typer.echo("\n".join(map(str, paths)))


class Following(TypedDict):
    """What is told of networks under way."""

    on_outcome: OnOutcome
    on_progress: OnTrialProgress


@contextmanager
def following(name: str, networks: int, computing: Computing) -> Iterator[Following]:
    """A bar over all networks, and a line for each."""
    first = computing.processes.first
    with progress_bar(name, networks, shown=first) as show:

        def on_outcome(trial: Trial, outcome: Outcome) -> None:
            if first:
                show(advance=1)
                accuracy = "" if outcome.miou is None else f", mIoU {100 * outcome.miou:.1f} %"
                typer.echo(f"{trial}: {outcome.predicted_us / 1000:.2f} ms predicted{accuracy}")

        def on_progress(trial: Trial, stage: str, share: float) -> None:
            show(note=f"{trial}: {stage} {share:.0%}")

        yield {"on_outcome": on_outcome, "on_progress": on_progress}
