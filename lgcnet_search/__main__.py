"""lgcnet-search: list the space, have it profiled, search with a device's table, measure what was found."""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn, cast
from uuid import UUID

import torch
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from lgcnet_search import jobs
from lgcnet_search.checkpoint import CheckpointError
from lgcnet_search.data.errors import DataError
from lgcnet_search.digest import space_digest
from lgcnet_search.genotype import Genotype, GenotypeError, random_genotype, typical_genotype
from lgcnet_search.logs import SearchLog
from lgcnet_search.network import count_parameters, network_spec
from lgcnet_search.processes import Processes, launched
from lgcnet_search.report import draw_result, write_result
from lgcnet_search.search import Checkpoints, SearchError, SearchSettings, StepRecord, search
from lgcnet_search.sources import GENERATED, generated_scenes, search_batches
from lgcnet_search.space import Space
from lgcnet_search.targets import Found, Target, targets, write_summary
from lgcnet_search.update import Amp, Batch, Sampling
from lut_server.client import LutClient, LutError
from lut_server.schemas import Device, Effort, Job, LatencyTable, MissingRows, Mode, Precision, Runtime

EXIT_REFUSED = 2

cli = typer.Typer(
    help="Searches segmentation networks for a device, with the latencies that its agent measured.",
    no_args_is_help=True,
    add_completion=False,
)
Height = Annotated[int, typer.Option(help="Input height in pixels.")]
Width = Annotated[int, typer.Option(help="Input width in pixels.")]
Channels = Annotated[int, typer.Option(help="Width multiplier: channels at full resolution.")]
Classes = Annotated[int, typer.Option(help="Number of classes.")]
Server = Annotated[str, typer.Option(help="URL of the lookup-table server.", envvar="LUT_SERVER")]
Token = Annotated[str | None, typer.Option(help="Access token.", envvar="LUT_TOKEN")]
DeviceName = Annotated[str | None, typer.Option("--device", help="UUID or name; left out: the only one there is.")]
DeviceNames = Annotated[
    list[str] | None, typer.Option("--device", help="UUID or name; may be repeated; left out: the only one there is.")
]
ModeName = Annotated[str, typer.Option("--mode", help="pytorch, pytorch-graph, onnxruntime or tensorrt.")]
PrecisionName = Annotated[str, typer.Option("--precision", help="fp32, tf32, fp16, bf16 or int8.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; left out: one on a CPU.")]
Seed = Annotated[int, typer.Option(help="Everything random follows from it.")]


class UsageError(Exception):
    """A value on the command line that cannot be."""


REFUSALS = (
    UsageError,
    LutError,
    MissingRows,
    jobs.AgentError,
    GenotypeError,
    DataError,
    SearchError,
    CheckpointError,
    OSError,
)


@cli.command("space")
def show_space(height: Height = 769, width: Width = 1537, channels: Channels = 8, classes: Classes = 19) -> None:
    """List every operation that a network of the space may execute: the keys of its latency table."""
    space = _space(height, width, channels, classes)
    table = Table("operation", "inputs", "parameters", box=None)
    for operation in space.operations:
        shapes = " + ".join("×".join(map(str, shape)) for shape in operation.input_shapes)
        table.add_row(operation.name, shapes, ", ".join(f"{name}={value}" for name, value in operation.params))
    console = Console(highlight=False)
    console.print(table)
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(item.name for item in space.operations).items())
    console.print(
        f"{len(space.operations)} operations ({kinds})\n"
        f"{space.cells} cells, {len(space.cell_edges)} edges of {len(space.cell_edges[0].names)} candidates; "
        f"fusion cell: {len(space.fusion_edges)} of {len(space.fusion_edges[0].names)} and "
        f"{len(space.up_edges)} of {len(space.up_edges[0].names)}\n"
        f"definition {space_digest()}"
    )


@cli.command()
def profile(
    server: Server,
    device: DeviceName = None,
    mode: ModeName = "pytorch",
    precision: PrecisionName = "fp32",
    threads: Threads = None,
    budget: Annotated[float | None, typer.Option(help="Seconds to spend; left out: until converged.")] = None,
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    token: Token = None,
) -> None:
    """Have an agent measure every operation of the space; prints the id of the table."""
    space = _space(height, width, channels, classes)
    with _usage():
        effort = Effort(budget_s=budget)
    with _client(server, token) as client:
        target, runtime = _target(client, device, mode, precision, threads)
        with _following_job(f"profiling on {target.name}") as on_job:
            table = jobs.profile(client, space, target, runtime, effort, on_job)
    doubtful = sum(not row.quality.sound for row in table.rows)
    typer.echo(f"{len(table.rows)} operations on {target.name}, {doubtful} of them doubtful; table:")
    typer.echo(table.id)


@cli.command("search")
def run_search(
    server: Server,
    device: DeviceNames = None,
    mode: ModeName = "pytorch",
    precision: PrecisionName = "fp32",
    threads: Threads = None,
    table: Annotated[UUID | None, typer.Option(help="Table to use; left out: each device's newest.")] = None,
    data: Annotated[str, typer.Option(help="A Cityscapes folder, or 'generated' for street scenes.")] = GENERATED,
    images: Annotated[int, typer.Option(min=1, help="How many street scenes to generate.")] = 200,
    steps: Annotated[int, typer.Option(help="Updates.")] = 400,
    crop: Annotated[str, typer.Option(help="HEIGHTxWIDTH that the supernet is trained at.")] = "128x256",
    proxy_width: Annotated[int, typer.Option(help="The supernet's width multiplier.")] = 8,
    batch: Annotated[int, typer.Option(min=2, help="Images in an update, over all processes.")] = 4,
    accumulate: Annotated[int, typer.Option(help="Parts that each process's images are run in.")] = 1,
    beta: Annotated[str, typer.Option(help="Weight of log(LAT) in the loss (Eq. 10); several: 0.001,0.005.")] = "0.005",
    sampling: Annotated[str, typer.Option(help="soft: all candidates, weighted; hard: the sampled ones.")] = "soft",
    amp: Annotated[str, typer.Option(help="Precision of activations: none, bf16 or fp16.")] = "none",
    channels_last: Annotated[bool, typer.Option(help="Images in NHWC layout.")] = False,
    recompute: Annotated[bool, typer.Option(help="Less memory: run each cell again in the backward pass.")] = False,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read images.")] = 1,
    train_on: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: a GPU if there is one.")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the genotype, the history and the pictures.")] = Path("runs"),
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in OUT, where there is one.")] = False,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 50,
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    token: Token = None,
) -> None:
    """Search a network for each device and beta; writes genotype.json, history.json and pictures to OUT.

    Several targets get a folder each in OUT, and summary.json. Under torchrun, the processes share each batch.
    """
    space = _space(height, width, channels, classes)
    proxy = _proxy(space, crop, proxy_width)
    with _usage():
        settings = SearchSettings(
            steps=steps,
            seed=seed,
            sampling=cast(Sampling, sampling),
            accumulate=accumulate,
            amp=cast(Amp, amp),
            channels_last=channels_last,
            recompute=recompute,
        )
        betas = [replace(settings, beta=_number("beta", text)).beta for text in beta.split(",")]
    with launched(_torch_device(train_on)) as (processes, training):
        share = _share(batch, processes.count * accumulate)

        def tables() -> list[LatencyTable]:
            if table and len(device or ()) > 1:
                raise UsageError("table: one was given for several devices; leave it out to use each device's newest")
            with _client(server, token) as client:
                if table and not device:
                    return [client.table(table)]
                wanted: list[str | None] = [*device] if device else [None]
                on = [_target(client, name, mode, precision, threads) for name in wanted]
                return [jobs.table_of(client, target, runtime, table) for target, runtime in on]

        todo = targets(processes.from_first(tables() if processes.first else []), betas, out)
        for target in todo:
            target.table.require(space.operations)
        _prepare_folders(todo, resume, processes)
        root = Path(data)
        if data == GENERATED:
            root = processes.from_first(_generate(images) if processes.first else root)

        def batches(used: int) -> Iterator[Batch]:
            shared = {"process": processes.rank, "processes": processes.count}
            return search_batches(root, space, proxy, share, seed, workers, start_step=used, **shared)

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
    batches: Callable[[int], Iterator[Batch]],
    data: str,
    training: torch.device,
    processes: Processes,
    save_every: int,
) -> Found:
    snapshot_every = max(1, settings.steps // 100)
    described = f"searching for {target.table.device.name}, beta {target.beta:g}"
    with (
        _progress(described, settings.steps, shown=processes.first) as (progress, task),
        SearchLog(target.folder / "tensorboard", settings.beta, snapshot_every) as log,
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
            target.table,
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
        written = write_result(result, target.table, target.folder)
        draw_result(result, target.table, target.folder)
        typer.echo(
            f"{written}: {result.predicted_us / 1000:.2f} ms predicted on {found.device}, "
            f"{found.parameters / 1e6:.2f} M parameters"
        )
    return found


def _share(batch: int, parts: int) -> int:
    share, rest = divmod(batch, parts)
    if rest or share < 2:
        raise UsageError(f"batch: {batch} images in {parts} parts (processes × accumulate); at least 2 each, all equal")
    return share


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UsageError(f"{name}: {text!r} is not a number; give one, or several with commas between")
    return value


def _prepare_folders(todo: list[Target], resume: bool, processes: Processes) -> None:
    if not processes.first:
        return
    for target in todo:
        if target.checkpoint.exists() and not resume:
            raise UsageError(
                f"out: {target.checkpoint} is of an earlier search; --resume goes on with it, another --out begins anew"
            )
        target.folder.mkdir(parents=True, exist_ok=True)


def _show_summary(lines: list[Found], written: Path) -> None:
    table = Table("device", "runtime", "beta", "predicted ms", "M parameters", "CE", "folder", box=None)
    for line in lines:
        numbers = (f"{line.predicted_us / 1000:.2f}", f"{line.parameters / 1e6:.2f}", f"{line.cross_entropy:.3f}")
        table.add_row(line.device, line.runtime, f"{line.beta:g}", *numbers, line.folder)
    console = Console(highlight=False)
    console.print(table)
    console.print(str(written), soft_wrap=True)


@cli.command()
def measure(
    genotype: Annotated[Path, typer.Argument(help="genotype.json of a search.")],
    server: Server,
    device: DeviceName = None,
    mode: ModeName = "pytorch",
    precision: PrecisionName = "fp32",
    threads: Threads = None,
    token: Token = None,
) -> None:
    """Have an agent measure a network end to end; prints predicted against measured latency."""
    network = Genotype.from_json(genotype.read_text("utf-8"))
    with _client(server, token) as client:
        target, runtime = _target(client, device, mode, precision, threads)
        with _following_job(f"measuring on {target.name}") as on_job:
            result = jobs.measure(client, network, target, runtime, on_job=on_job)
    measured = result.measured
    typer.echo(
        f"measured  {measured.median_us / 1000:8.2f} ms on {target.name} "
        f"(95 %: {measured.low_us / 1000:.2f} to {measured.high_us / 1000:.2f}), "
        f"{1e6 * runtime.batch_size / measured.median_us:.1f} FPS"
    )
    if result.predicted_us is None:
        typer.echo("predicted: no table of this device and runtime has all its operations; run lgcnet-search profile")
    else:
        error = result.predicted_us / measured.median_us - 1
        typer.echo(f"predicted {result.predicted_us / 1000:8.2f} ms by table {result.table_id} ({error:+.1%})")


@cli.command("random")
def draw(
    seed: Seed = 0,
    typical: Annotated[bool, typer.Option(help="Light in front, like the network the paper found.")] = False,
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    out: Annotated[Path | None, typer.Option(help="Write it here instead of to the screen.")] = None,
) -> None:
    """Draw a random genotype."""
    space = _space(height, width, channels, classes)
    genotype = (typical_genotype if typical else random_genotype)(space, seed)
    text = json.dumps(genotype.to_dict(), indent=1)
    if out is None:
        typer.echo(text)
        return
    out.write_text(text + "\n", "utf-8")
    executed = sum(item.count for item in network_spec(genotype).operations)
    typer.echo(f"{out}: {executed} operations, {_millions(genotype)} M parameters")


def main() -> None:
    """The command; whatever is wrong with input, server or data becomes one line and exit code 2."""
    try:
        cli()
    except REFUSALS as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"lgcnet-search: {message}", markup=False)
    sys.exit(EXIT_REFUSED)


@contextmanager
def _usage(what: str = "") -> Iterator[None]:
    """Turn a refused value into a message about the command line."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, not {first['input']!r}") from error
    except ValueError as error:
        raise UsageError(f"{what}{error}") from error


def _space(height: int, width: int, channels: int, classes: int) -> Space:
    try:
        return Space(height=height, width_px=width, width=channels, classes=classes)
    except ValueError as error:
        field, _, reason = str(error).partition(":")
        raise UsageError(f"{ {'width_px': 'width', 'width': 'channels'}.get(field, field) }:{reason}") from error


def _proxy(space: Space, crop: str, width: int) -> Space:
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", crop)
    if not found:
        raise UsageError(f"crop: {crop!r} is not a size; give it like 128x256")
    with _usage("crop, proxy-width: "):
        return replace(space, height=int(found[1]), width_px=int(found[2]), width=width)


def _client(server: str, token: str | None) -> LutClient:
    with _usage():
        return LutClient(server, token)


def _target(
    client: LutClient, device: str | None, mode: str, precision: str, threads: int | None
) -> tuple[Device, Runtime]:
    found = jobs.find_device(client, device)
    with _usage():
        return found, jobs.runtime_on(found, cast(Mode, mode), cast(Precision, precision), threads=threads)


def _torch_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"train-on: {name!r} cannot be used here ({reason}); give cpu or auto") from error
    return device


@contextmanager
def _progress(what: str, total: int | None, shown: bool = True) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        yield progress, progress.add_task(what, total=total, note="")


@contextmanager
def _following_job(what: str) -> Iterator[jobs.OnJob]:
    with _progress(what, None) as (progress, task):

        def on_job(job: Job) -> None:
            note = "waiting for an agent" if job.state == "queued" else ""
            progress.update(task, total=job.progress.total, completed=job.progress.done, note=note)

        yield on_job


def _generate(images: int) -> Path:
    with _progress("drawing street scenes", images) as (progress, task):
        return generated_scenes(images, lambda there, _: progress.update(task, completed=there))


def _millions(genotype: Genotype) -> str:
    return f"{count_parameters(genotype.space.graph.derive(genotype.choices)) / 1e6:.2f}"


if __name__ == "__main__":
    main()
