"""lgcnet-search: list the space, have it profiled, search with a device's table, measure what was found."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
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
from lgcnet_search.data.errors import DataError
from lgcnet_search.digest import space_digest
from lgcnet_search.genotype import Genotype, GenotypeError, random_genotype, typical_genotype
from lgcnet_search.network import count_parameters, network_spec
from lgcnet_search.report import draw_result, write_result
from lgcnet_search.search import SearchError, SearchSettings, StepRecord, search
from lgcnet_search.sources import GENERATED, generated_scenes, search_batches
from lgcnet_search.space import Space
from lut_server.client import LutClient, LutError
from lut_server.schemas import Device, Effort, Job, MissingRows, Mode, Precision, Runtime

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
    device: DeviceName = None,
    mode: ModeName = "pytorch",
    precision: PrecisionName = "fp32",
    threads: Threads = None,
    table: Annotated[UUID | None, typer.Option(help="Table to use; left out: the device's newest.")] = None,
    data: Annotated[str, typer.Option(help="A Cityscapes folder, or 'generated' for street scenes.")] = GENERATED,
    images: Annotated[int, typer.Option(min=1, help="How many street scenes to generate.")] = 200,
    steps: Annotated[int, typer.Option(help="Updates.")] = 400,
    crop: Annotated[str, typer.Option(help="HEIGHTxWIDTH that the supernet is trained at.")] = "128x256",
    proxy_width: Annotated[int, typer.Option(help="The supernet's width multiplier.")] = 8,
    batch: Annotated[int, typer.Option(min=2, help="Images in a batch.")] = 4,
    beta: Annotated[float, typer.Option(help="Weight of log(LAT) in the loss (Eq. 10).")] = 0.005,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read images.")] = 1,
    train_on: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: a GPU if there is one.")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the genotype, the history and the pictures.")] = Path("runs"),
    height: Height = 769,
    width: Width = 1537,
    channels: Channels = 8,
    classes: Classes = 19,
    token: Token = None,
) -> None:
    """Search a network for a device with its table; writes genotype.json, history.json and pictures to OUT."""
    space = _space(height, width, channels, classes)
    proxy = _proxy(space, crop, proxy_width)
    with _usage():
        settings = SearchSettings(steps=steps, beta=beta, seed=seed)
    training = _torch_device(train_on)
    with _client(server, token) as client:
        target, runtime = _target(client, device, mode, precision, threads)
        latencies = jobs.table_of(client, target, runtime, table)
        latencies.require(space.operations)
    out.mkdir(parents=True, exist_ok=True)
    root = _generate(images) if data == GENERATED else Path(data)
    batches = search_batches(root, space, proxy, batch, seed, workers)
    with _progress("searching", steps) as (progress, task):

        def on_step(record: StepRecord) -> None:
            text = f"CE {record.cross_entropy:.3f}  LAT {record.latency_us / 1000:.2f} ms  λ {record.temperature:.2f}"
            progress.update(task, completed=record.step + 1, note=text)

        result = search(space, proxy, latencies, batches, settings, training, on_step)
    written = write_result(result, latencies, out)
    draw_result(result, latencies, out)
    typer.echo(
        f"{written}: {result.predicted_us / 1000:.2f} ms predicted on {latencies.device.name}, "
        f"{_millions(result.genotype)} M parameters"
    )


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
def _progress(what: str, total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
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
