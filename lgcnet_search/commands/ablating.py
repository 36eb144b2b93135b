"""lgcnet-search ablate: the paper's ablations, each by its name."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markdown import Markdown

from latency_tables.client import load_table
from latency_tables.contract import LatencyTable, MissingRows
from lgcnet_search import jobs
from lgcnet_search.ablations.arms import ABLATIONS, GENERATED, Ablation, ablation_named
from lgcnet_search.ablations.comparison import write_section
from lgcnet_search.ablations.network import Study
from lgcnet_search.ablations.outcome import Outcome
from lgcnet_search.ablations.runner import Run, run_all, runs_of
from lgcnet_search.ablations.scale import Size, scale_named
from lgcnet_search.ablations.tables import markdown, rows_of, write_tables
from lgcnet_search.commands.common import (
    AmpName,
    Channels,
    Classes,
    Height,
    TrainOn,
    UsageError,
    Width,
    Workers,
    drawn_scenes,
    progress_bar,
    share_of,
    size_of,
    space_of,
    torch_device,
    usage,
)
from lgcnet_search.commands.server import DeviceName, ModeName, PrecisionName, Threads, Token, connected, target_of
from lgcnet_search.computing.processes import launched
from lgcnet_search.data.sources import GENERATED as GENERATED_DATA
from lgcnet_search.data.sources import GENERATED_SIZE
from lgcnet_search.space.space import Space

ServerOrFile = Annotated[
    str | None, typer.Option("--server", help="URL of the lookup-table server.", envvar="LUT_SERVER")
]
Steps = Annotated[int | None, typer.Option(help="Updates; left out: the scale's.")]
Images = Annotated[int | None, typer.Option(help="Images in an update; left out: the scale's.")]
ScaleChannels = Annotated[int | None, typer.Option(help="Channels at full resolution; left out: the scale's.")]
SizeText = Annotated[str | None, typer.Option(help="HEIGHTxWIDTH; left out: the scale's.")]
Rate = Annotated[float | None, typer.Option(help="Left out: the scale's.")]


def ablate(
    name: Annotated[str, typer.Argument(help=", ".join(ABLATIONS))],
    server: ServerOrFile = None,
    table_file: Annotated[
        Path | None, typer.Option(help="A table that lut-server exported: no server is asked.")
    ] = None,
    table: Annotated[UUID | None, typer.Option(help="Table of the server; left out: the newest that fits.")] = None,
    device: DeviceName = None,
    mode: ModeName = "pytorch",
    precision: PrecisionName = "fp32",
    threads: Threads = None,
    seeds: Annotated[int | None, typer.Option(help="Networks of each row; left out: as many as the paper's.")] = None,
    scale: Annotated[str | None, typer.Option(help="paper or small; left out: paper, for generated small.")] = None,
    data: Annotated[str, typer.Option(help="A Cityscapes folder, or 'generated' for street scenes.")] = GENERATED_DATA,
    images: Annotated[int, typer.Option(min=1, help="Street scenes to generate for training.")] = 400,
    held_out: Annotated[int, typer.Option(min=1, help="Street scenes to generate for evaluation.")] = 100,
    fps_floor: Annotated[float | None, typer.Option(help="In place of the paper's 100 FPS (Table VII b).")] = None,
    search_steps: Steps = None,
    search_batch: Images = None,
    crop: SizeText = None,
    proxy_channels: ScaleChannels = None,
    sampling: Annotated[str | None, typer.Option(help="soft or hard; left out: the scale's.")] = None,
    alpha_lr: Rate = None,
    train_steps: Steps = None,
    train_batch: Images = None,
    train_crop: SizeText = None,
    train_channels: ScaleChannels = None,
    learning_rate: Rate = None,
    input_size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of whole images; left out: the scale's.")] = None,
    amp: AmpName = "none",
    workers: Workers = 0,
    train_on: TrainOn = "auto",
    at_once: Annotated[int, typer.Option(min=1, help="Networks made at a time, by a process each.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder; left out: runs/NAME.")] = None,
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    token: Token = None,
) -> None:
    """Make all networks of an ablation and write its table: NAME.md, NAME.csv, NAME.json, NAME.png in OUT.

    What OUT holds already is not made again: the same command goes on where it was stopped. Under torchrun, the
    processes share each batch.
    """
    space = space_of(height, width, channels, classes)
    with usage():
        ablation = ablation_named(name)
        ablation = ablation if fps_floor is None else ablation.with_floor(fps_floor)
        chosen = scale_named(scale or ("small" if ablation is GENERATED else "paper")).with_(
            search_steps=search_steps,
            search_batch=search_batch,
            crop=_size("crop", crop),
            proxy_channels=proxy_channels,
            sampling=sampling,
            alpha_lr=alpha_lr,
            train_steps=train_steps,
            train_batch=train_batch,
            train_crop=_size("train-crop", train_crop),
            train_channels=train_channels,
            learning_rate=learning_rate,
            input_size=_size("input-size", input_size),
            amp=amp,
        )
        todo = runs_of(ablation, ablation.repeats if seeds is None else seeds)
    if server is None and table_file is None:
        raise UsageError("server, table-file: give the URL of a server, or a file with a table")
    with launched(torch_device(train_on)) as (processes, training):
        for batch in (chosen.search_batch, chosen.train_batch):
            share_of(batch, processes.count)
        if at_once > 1 and processes.count > 1:
            raise UsageError(f"at-once: {at_once} given under torchrun, whose processes make one network together")

        def given() -> tuple[LatencyTable, Path]:
            found = _table(server, token, table_file, table, device, mode, precision, threads, ablation, space)
            wanted = min(GENERATED_SIZE, chosen.input_size)
            return found, drawn_scenes(images, held_out, wanted) if data == GENERATED_DATA else Path(data)

        ready = processes.from_first(given() if processes.first else None)
        assert ready, "the first process has it, or has raised"
        study = Study(space, ready[0], chosen, ready[1], out or Path("runs") / ablation.name, workers)
        with progress_bar(ablation.name, len(todo), shown=processes.first) as (progress, task):

            def on_outcome(run: Run, outcome: Outcome) -> None:
                if processes.first:
                    progress.advance(task)
                    accuracy = "" if outcome.miou is None else f", mIoU {100 * outcome.miou:.1f} %"
                    typer.echo(f"{run}: {outcome.predicted_us / 1000:.2f} ms predicted{accuracy}")

            def on_progress(run: Run, what: str, share: float) -> None:
                progress.update(task, note=f"{run}: {what} {share:.0%}")

            outcomes = run_all(
                study,
                todo,
                training,
                at_once=at_once,
                processes=processes,
                on_outcome=on_outcome,
                on_progress=on_progress,
            )
        if processes.first:
            written = write_tables(ablation, study, outcomes)
            if ablation is GENERATED:
                written += write_section(study, outcomes)
            Console().print(Markdown(markdown(ablation, rows_of(ablation, outcomes))))
            typer.echo("\n".join(map(str, written)))


def _table(
    server: str | None,
    token: str | None,
    file: Path | None,
    id: UUID | None,
    device: str | None,
    mode: str,
    precision: str,
    threads: int | None,
    ablation: Ablation,
    space: Space,
) -> LatencyTable:
    """A table that has all rows of all arms. Raises MissingRows, LutError."""
    operations = ablation.operations(space)
    if file or not server:
        found = load_table(file or "")
    else:
        with connected(server, token) as client:
            found = (
                client.table(id)
                if id and not device
                else jobs.table_of(client, *target_of(client, device, mode, precision, threads), id)
            )
    try:
        found.require(operations)
    except MissingRows as error:
        raise UsageError(f"{error} lgcnet-search profile --ablation {ablation.name} does.") from error
    return found


def _size(name: str, text: str | None) -> Size | None:
    return None if text is None else size_of(name, text)
