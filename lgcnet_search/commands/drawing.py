"""lgcnet-search draw: pictures of networks, searches, tables, accuracies and predictions."""

import json
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from lgcnet_search import jobs
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import DeviceOptions, GenotypeFile, UsageError
from lgcnet_search.plots.charts import (
    AccuracyPoint,
    PredictedPoint,
    accuracy_against_latency,
    predicted_against_measured,
)
from lgcnet_search.search.report import GENOTYPE, draw_genotype, draw_table, draw_written, title_of
from lgcnet_search.space import SPACE
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.fused import fused_share, fused_steps, step_kernels
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.training.report import TRAINED_ON
from lgcnet_search.training.weights import Weights

cli = typer.Typer(help="Pictures of networks, searches, tables, accuracies and predictions.", no_args_is_help=True)
Out = Annotated[Path, typer.Option(help="Folder for the pictures.")]


@cli.command()
def network(
    genotype: GenotypeFile,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures; left out: runs/drawn/ and the genotype's name.")
    ] = None,
) -> None:
    """The cells and the fusion cell of a genotype as graphs: cells.png, fusion.png."""
    folder = out or Path("runs/drawn") / (genotype.parent.name if genotype.name == GENOTYPE else genotype.stem)
    for path in draw_genotype(Genotype.load(genotype), folder, title_of(genotype)):
        typer.echo(path)


@cli.command()
@grouped
def kernels(
    genotype: GenotypeFile,
    asked: DeviceOptions,
    out: Out = Path("runs"),
) -> None:
    """What a device executed of a network that it measured: a list of kernels, and its cells with what was fused."""
    network = Genotype.load(genotype)
    with asked.connected() as client:
        device, runtime = asked.target(client)
        executed = jobs.kernels_of(client, network, device, runtime)
    shown = step_kernels(executed, network)
    for kernel in shown:
        typer.echo(f"{kernel.kind}: {', '.join(kernel.steps) or 'of the library’s own'}")
    fused = fused_steps(shown)
    share = fused_share(executed, network)
    typer.echo(f"{len(shown)} kernels; {share:.0%} of the operations share one with another")
    for path in draw_genotype(network, out, f"{device.name}, {runtime.mode}", fused=fused):
        typer.echo(path)


@cli.command()
@grouped
def search(
    folder: Annotated[Path, typer.Argument(help="Folder of search: genotype.json and history.json.")],
    asked: DeviceOptions,
) -> None:
    """What a search left, drawn again in its folder with the latency that an agent has measured since (measure)."""
    genotype = Genotype.load(folder / "genotype.json")
    with asked.connected() as client:
        latency_us, measured = jobs.latency_of(client, genotype, *asked.target(client))
    if not measured:
        raise UsageError(f"folder: no agent has measured {folder / 'genotype.json'}; run lgcnet-search measure first")
    for path in draw_written(folder, latency_us):
        typer.echo(path)


@cli.command()
@grouped
def table(
    asked: DeviceOptions,
    out: Out = Path("runs"),
) -> None:
    """A device's newest table as a heat map of operations and inputs: table.png."""
    with asked.connected() as client:
        typer.echo(draw_table(asked.newest_table(client), out))


@cli.command()
@grouped
def accuracy(
    folders: Annotated[list[Path], typer.Argument(help="Folders of finetune: weights.pt and scores.json.")],
    asked: DeviceOptions,
    out: Out = Path("runs"),
) -> None:
    """Trained networks by mIoU and latency (Fig. 1): accuracy.png.

    Latencies are measured ones where an agent has measured the network, else the sum of the device's newest table.
    """
    points = []
    with asked.connected() as client:
        device, runtime = asked.target(client)
        for folder in folders:
            genotype = Weights.load(folder / "weights.pt").genotype
            latency_us, measured = jobs.latency_of(client, genotype, device, runtime)
            miou, trained_on = _miou(folder / "scores.json")
            percent = 100 * miou
            doubt = f" ({TRAINED_ON})" if trained_on else ""
            how = "measured" if measured else "predicted"
            points.append(AccuracyPoint(f"{folder.name}{doubt}", latency_us / 1000, percent, how))
            typer.echo(f"{folder}: {percent:.2f} %{doubt} at {latency_us / 1000:.2f} ms, {how}")
    typer.echo(accuracy_against_latency(points, out / "accuracy.png", f"{device.name}, {runtime.mode}"))


@cli.command()
@grouped
def predictions(
    asked: DeviceOptions,
    out: Out = Path("runs"),
) -> None:
    """Every network that a device measured: predicted against measured latency, predictions.png.

    Calibrated predictions where the table has a calibration, else sums of its rows.
    """
    points = []
    with asked.connected() as client:
        device, runtime = asked.target(client)
        for record in client.networks():
            if (record.network.space, record.network.space_digest) != (SPACE, space_digest()):
                continue
            result = jobs.newest_result(record, device, runtime)
            predicted_us = result and (result.predicted_us or result.raw_us)
            if result and predicted_us:
                low_us, high_us = jobs.measured_between_us(result)
                interval_us = None
                if result.predicted_us and result.low_us is not None and result.high_us is not None:
                    interval_us = result.low_us, result.high_us
                points.append(
                    PredictedPoint(
                        record.name or record.id[:6], predicted_us, result.measured_us, low_us, high_us, interval_us
                    )
                )
    if not points:
        raise UsageError(
            f"device: {device.name} has measured no network that a table of it predicts; "
            "run lgcnet-search profile and measure"
        )
    mape = fmean(abs(point.predicted_us / point.measured_us - 1) for point in points)
    how = (
        "each predicted from the others, with its 90 % interval"
        if all(point.interval_us for point in points)
        else "sums of rows where no calibration predicts"
    )
    title = f"{device.name}, {runtime}\n{len(points)} networks, {mape:.1%} off in the mean; {how}"
    typer.echo(predicted_against_measured(points, out / "predictions.png", title))


def _miou(path: Path) -> tuple[float, bool]:
    """The mIoU, and whether it is of images that were trained on."""
    try:
        scores = json.loads(path.read_text("utf-8"))
        return float(scores["miou"]), bool(scores.get("trained_on"))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"folders: {path} holds no mIoU; give a folder that finetune or evaluate wrote") from error
