"""lgcnet-search evaluate, export: what trained weights are worth, and their deployed form."""

from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lgcnet_search.commands.common import (
    AmpName,
    HeldOut,
    Images,
    TrainOn,
    UsageError,
    Workers,
    amp_of,
    drawn_scenes,
    one_of,
    progress_bar,
    size_of,
    torch_device,
    usage,
)
from lgcnet_search.computing.processes import Processes, launched
from lgcnet_search.data.sources import GENERATED, EvaluationSplit, Labelled, Layout
from lgcnet_search.training.evaluate import Scores, evaluate
from lgcnet_search.training.export import export_onnx, fold
from lgcnet_search.training.report import draw_predictions, write_label_file, write_scores
from lgcnet_search.training.weights import Weights

DataFolder = Annotated[str, typer.Option(help="A folder of the layout, or 'generated' for street scenes.")]
LayoutName = Annotated[str, typer.Option(help="Layout and classes of the folder: cityscapes or camvid.")]
WeightsFile = Annotated[Path, typer.Argument(help="weights.pt of finetune, or network.pt of export.")]


def run(
    weights: WeightsFile,
    data: DataFolder = GENERATED,
    layout: LayoutName = "cityscapes",
    images: Images = 200,
    held_out: HeldOut = 50,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the input; left out: the weights'.")] = None,
    pictures: Annotated[int, typer.Option(min=0, help="How many images to draw beside truth and prediction.")] = 4,
    label_files: Annotated[bool, typer.Option(help="Write predictions as Cityscapes' server takes them.")] = False,
    amp: AmpName = "none",
    workers: Workers = 1,
    train_on: TrainOn = "auto",
    out: Annotated[Path, typer.Option(help="Folder for scores.json and predictions.png.")] = Path("runs/evaluate"),
) -> None:
    """Evaluate weights at the labels' own resolution: mean and per-class intersection over union.

    Under torchrun, the processes share the images.
    """
    given = Weights.load(weights)
    network = given.network()
    part = cast(EvaluationSplit, one_of("split", split, get_args(EvaluationSplit)))
    precision = amp_of(amp)
    with launched(torch_device(train_on)) as (processes, device):
        source = source_of(data, layout, images, held_out, processes)
        space = network.genotype.space
        if space.classes != source.labels.classes:
            raise UsageError(
                f"layout: {layout} has {source.labels.classes} classes, the network {space.classes}; "
                "name the other layout, or finetune on this one"
            )
        wanted = size_of("size", size) if size else (space.height, space.width)
        if wanted != (space.height, space.width):
            with usage("size: "):
                network = given.at(*wanted).network()
        dataset = source.evaluation(part, wanted)
        out.mkdir(parents=True, exist_ok=True)
        with progress_bar("evaluating", len(dataset), shown=processes.first) as (progress, task):

            def on_image(index: int, predicted: Tensor) -> None:
                progress.update(task, completed=index + 1)
                if label_files:
                    write_label_file(dataset, index, predicted, out / "labels")

            scores = evaluate(
                network, dataset, device, amp=precision, workers=workers, processes=processes, on_image=on_image
            )
        if processes.first:
            write_scores(scores, f"{source.root} {split}", out)
            show_scores(scores)
            if pictures:
                drawn = draw_predictions(network, dataset, pictures, device, out, f"mIoU {scores.miou:.1%}")
                typer.echo(drawn)
            typer.echo(f"mIoU {scores.miou:.2%}, pixel accuracy {scores.pixel_accuracy:.2%}, {scores.images} images")


def export(
    weights: Annotated[Path, typer.Argument(help="weights.pt of finetune.")],
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the input; left out: the weights'.")] = None,
    onnx: Annotated[bool, typer.Option(help="Write network.onnx too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for network.pt and network.onnx.")] = Path("runs/export"),
) -> None:
    """Fold BatchNorm and write the network: network.pt (torch.load reads it) and network.onnx, checked."""
    given = Weights.load(weights)
    with usage("size: "):
        folded = fold(given.at(*size_of("size", size)) if size else given)
    out.mkdir(parents=True, exist_ok=True)
    folded.save(out / "network.pt")
    (out / "genotype.json").write_text(folded.genotype.to_json() + "\n", "utf-8")
    typer.echo(f"{out / 'network.pt'}: {sum(value.numel() for value in folded.state.values()) / 1e6:.2f} M values")
    if onnx:
        difference = export_onnx(folded.network(), out / "network.onnx")
        typer.echo(f"{out / 'network.onnx'}: differs from PyTorch by {difference:.1e} of the largest logit")


def source_of(data: str, layout: str, images: int, held_out: int, processes: Processes) -> Labelled:
    """The folder that is meant; generated pictures are drawn by the first process."""
    known = cast(Layout, one_of("layout", layout, get_args(Layout)))
    if data != GENERATED:
        return Labelled(Path(data), known)
    if layout != "cityscapes":
        raise UsageError(f"layout: generated scenes have Cityscapes' layout, not {layout}; name a folder in --data")
    return Labelled(processes.from_first(drawn_scenes(images, held_out) if processes.first else Path(data)))


def show_scores(scores: Scores) -> None:
    """The per-class table."""
    table = Table("class", "IoU %", box=None)
    for name, value in scores.iou.items():
        table.add_row(name, "absent" if value is None else f"{100 * value:.1f}")
    Console(highlight=False).print(table)
