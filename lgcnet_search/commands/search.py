"""lgcnet-search search: networks for devices, each with its own table."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast
from uuid import UUID

import torch
import typer
from rich.console import Console
from rich.table import Table

from lgcnet_search import jobs
from lgcnet_search.commands.common import (
    Accumulate,
    AmpName,
    BatchSize,
    Channels,
    ChannelsLast,
    Classes,
    Height,
    Images,
    Resume,
    SaveEvery,
    Seed,
    TrainOn,
    UsageError,
    Width,
    Workers,
    drawn_scenes,
    number_of,
    progress_bar,
    proxy_of,
    refuse_earlier,
    share_of,
    space_of,
    torch_device,
    usage,
)
from lgcnet_search.commands.server import (
    DeviceNames,
    ModeName,
    PrecisionName,
    Server,
    Threads,
    Token,
    connected,
    target_of,
)
from lgcnet_search.computing.batches import Batches
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.precision import Amp
from lgcnet_search.computing.processes import Processes, launched
from lgcnet_search.data.loading import shares
from lgcnet_search.data.sources import GENERATED, search_data
from lgcnet_search.search.ceiling import Ceiling
from lgcnet_search.search.logs import SearchLog
from lgcnet_search.search.report import draw_result, write_result
from lgcnet_search.search.search import SearchSettings, StepRecord, search
from lgcnet_search.search.targets import Found, Target, targets, write_summary
from lgcnet_search.search.update import Sampling
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space


def run(
    server: Server,
    device: DeviceNames = None,
    mode: ModeName = "pytorch",
    precision: PrecisionName = "fp32",
    threads: Threads = None,
    table: Annotated[UUID | None, typer.Option(help="Table to use; left out: each device's newest.")] = None,
    data: Annotated[str, typer.Option(help="A Cityscapes folder, or 'generated' for street scenes.")] = GENERATED,
    images: Images = 200,
    steps: Annotated[int, typer.Option(help="Updates.")] = 400,
    crop: Annotated[str, typer.Option(help="HEIGHTxWIDTH that the supernet is trained at.")] = "128x256",
    proxy_channels: Annotated[int, typer.Option(help="The supernet's channels at full resolution.")] = 8,
    batch: BatchSize = 4,
    accumulate: Accumulate = 1,
    beta: Annotated[str, typer.Option(help="Weight of log(LAT) in the loss (Eq. 10); several: 0.001,0.005.")] = "0.005",
    ceiling_ms: Annotated[float | None, typer.Option(help="What the network may take at most.")] = None,
    quantile: Annotated[
        float, typer.Option(help="With which probability it stays under the ceiling; needs a calibrated table.")
    ] = 0.5,
    isolated: Annotated[
        bool, typer.Option(help="Latencies as measured alone, also where the table knows those inside a network.")
    ] = False,
    sampling: Annotated[str, typer.Option(help="soft: all candidates, weighted; hard: the sampled ones.")] = "soft",
    amp: AmpName = "none",
    channels_last: ChannelsLast = False,
    recompute: Annotated[bool, typer.Option(help="Less memory: run each cell again in the backward pass.")] = False,
    seed: Seed = 0,
    workers: Workers = 1,
    train_on: TrainOn = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the genotype, the history and the pictures.")] = Path("runs"),
    resume: Resume = False,
    save_every: SaveEvery = 50,
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    token: Token = None,
) -> None:
    """Search a network for each device and beta; writes genotype.json, history.json and pictures to OUT.

    Several targets get a folder each in OUT, and summary.json. Under torchrun, the processes share each batch.
    """
    space = space_of(height, width, channels, classes)
    proxy = proxy_of(space, crop, proxy_channels)
    with usage():
        settings = SearchSettings(
            steps=steps,
            ceiling_us=None if ceiling_ms is None else 1000 * ceiling_ms,
            quantile=quantile,
            seed=seed,
            sampling=cast(Sampling, sampling),
            accumulate=accumulate,
            amp=cast(Amp, amp),
            channels_last=channels_last,
            recompute=recompute,
        )
        betas = [replace(settings, beta=number_of("beta", text)).beta for text in beta.split(",")]
    with launched(torch_device(train_on)) as (processes, training):
        share = share_of(batch, processes.count * accumulate)

        def devices() -> list[Latencies]:
            if table and len(device or ()) > 1:
                raise UsageError("table: one was given for several devices; leave it out to use each device's newest")
            with connected(server, token) as client:
                if table and not device:
                    return [jobs.latencies_of(client, client.table(table), isolated)]
                wanted: list[str | None] = [*device] if device else [None]
                on = [target_of(client, name, mode, precision, threads) for name in wanted]
                found = [jobs.table_of(client, target, runtime, table) for target, runtime in on]
                return [jobs.latencies_of(client, one, isolated) for one in found]

        todo = targets(processes.from_first(devices() if processes.first else []), betas, out)
        for target in todo:
            target.latencies.table.require(space.operations)
            with usage():
                target.latencies.margin(quantile)
                if settings.ceiling_us is not None:
                    Ceiling.reachable(space, target.latencies, settings.ceiling_us, quantile)
        _prepare_folders(todo, resume, processes)
        root = Path(data)
        if data == GENERATED:
            root = processes.from_first(drawn_scenes(images) if processes.first else root)
        pictures = search_data(root, space, proxy, seed)
        batches = shares(pictures, share, seed=seed, workers=workers, processes=processes)
        lines = []
        for target in todo:
            own = replace(settings, beta=target.beta)
            described = f"{root}, {batch} images in an update"
            line = _search_one(target, space, proxy, own, batches, described, training, processes, save_every)
            lines.append(line)
        if processes.first and len(lines) > 1:
            _show_summary(lines, write_summary(lines, out))


def _search_one(
    target: Target,
    space: Space,
    proxy: Space,
    settings: SearchSettings,
    batches: Batches,
    data: str,
    training: torch.device,
    processes: Processes,
    save_every: int,
) -> Found:
    snapshot_every = max(1, settings.steps // 100)
    described = f"searching for {target.latencies.table.device.name}, beta {target.beta:g}"
    with (
        progress_bar(described, settings.steps, shown=processes.first) as (progress, task),
        SearchLog(target.folder / "tensorboard", snapshot_every) as log,
    ):

        def on_step(record: StepRecord) -> None:
            if not processes.first:
                return
            log.step(record)
            text = f"CE {record.cross_entropy:.3f}  LAT {record.latency_us / 1000:.2f} ms  λ {record.temperature:.2f}"
            progress.update(task, completed=record.step + 1, note=text)

        result = search(
            space,
            proxy,
            target.latencies,
            batches,
            settings,
            training,
            on_step,
            processes=processes,
            checkpoints=Checkpoints(target.checkpoint, save_every, data),
            on_architecture=log.architecture,
        )
    found = Found.of(target, result)
    if processes.first:
        written = write_result(result, target.latencies, target.folder)
        draw_result(result, target.latencies.table, target.folder)
        typer.echo(
            f"{written}: {result.predicted_us / 1000:.2f} ms predicted on {found.device}, "
            f"{found.parameters / 1e6:.2f} M parameters"
        )
    return found


def _prepare_folders(todo: list[Target], resume: bool, processes: Processes) -> None:
    if not processes.first:
        return
    for target in todo:
        refuse_earlier(target.checkpoint, resume)
        target.folder.mkdir(parents=True, exist_ok=True)


def _show_summary(lines: list[Found], written: Path) -> None:
    table = Table("device", "runtime", "beta", "predicted ms", "M parameters", "CE", "folder", box=None)
    for line in lines:
        numbers = (f"{line.predicted_us / 1000:.2f}", f"{line.parameters / 1e6:.2f}", f"{line.cross_entropy:.3f}")
        table.add_row(line.device, line.runtime, f"{line.beta:g}", *numbers, line.folder)
    console = Console(highlight=False)
    console.print(table)
    console.print(str(written), soft_wrap=True)
