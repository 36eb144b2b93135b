"""lgcnet-search evaluate, export: what trained weights are worth, and their deployed form."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import ComputingOptions, SourceOptions, UsageError, size_of, usage
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.training.evaluate import Scores, evaluate
from lgcnet_search.training.export import export_onnx, fold
from lgcnet_search.training.report import draw_predictions, write_label_file, write_scores
from lgcnet_search.training.weights import Weights

Size = Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the input; left out: the weights'.")]


@grouped
def run(
    weights: Annotated[Path, typer.Argument(help="weights.pt of finetune, or network.pt of export.")],
    source: SourceOptions,
    how: ComputingOptions,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="What is evaluated on.")] = "val",
    size: Size = None,
    pictures: Annotated[int, typer.Option(min=0, help="How many images to draw beside truth and prediction.")] = 4,
    label_files: Annotated[
        bool, typer.Option(metavar="", help="Write predictions as Cityscapes' server takes them.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for scores.json and predictions.png.")] = Path("runs/evaluate"),
) -> None:
    """Evaluate weights at the labels' own resolution: mean and per-class intersection over union.

    Under torchrun, the processes share the images.
    """
    loaded = _at_size(Weights.load(weights), size)
    network, space = loaded.network(), loaded.genotype.space
    with how.launched() as computing:
        first = computing.processes.first
        folder = source.folder(computing.processes)
        if space.classes != folder.labels.classes:
            raise UsageError(
                f"layout: {source.layout} has {folder.labels.classes} classes, the network {space.classes}; "
                "name the other layout, or finetune on this one"
            )
        dataset = folder.whole(split, (space.height, space.width))
        out.mkdir(parents=True, exist_ok=True)
        with progress_bar("evaluating", len(dataset), shown=first) as show:

            def on_image(index: int, predicted: Tensor) -> None:
                show(completed=index + 1)
                if label_files:
                    write_label_file(dataset, index, predicted, out / "labels")

            scores = evaluate(network, dataset, computing, on_image)
        if first:
            write_scores(scores, f"{folder.root} {split}", out)
            show_scores(scores)
            if pictures:
                title = f"mIoU {scores.miou:.1%}"
                typer.echo(draw_predictions(network, dataset, pictures, computing.device, out, title))
            typer.echo(f"mIoU {scores.miou:.2%}, pixel accuracy {scores.pixel_accuracy:.2%}, {scores.images} images")


def export(
    weights: Annotated[Path, typer.Argument(help="weights.pt of finetune.")],
    size: Size = None,
    onnx: Annotated[bool, typer.Option(metavar="", help="Write network.onnx too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for network.pt and network.onnx.")] = Path("runs/export"),
) -> None:
    """Fold BatchNorm and write the network: network.pt (torch.load reads it) and network.onnx, checked."""
    folded = fold(_at_size(Weights.load(weights), size))
    out.mkdir(parents=True, exist_ok=True)
    folded.save(out / "network.pt")
    (out / "genotype.json").write_text(folded.genotype.to_json() + "\n", "utf-8")
    typer.echo(f"{out / 'network.pt'}: {sum(value.numel() for value in folded.state.values()) / 1e6:.2f} M values")
    if onnx:
        difference = export_onnx(folded.network(), out / "network.onnx")
        typer.echo(f"{out / 'network.onnx'}: differs from PyTorch by {difference:.1e} of the largest logit")


def _at_size(weights: Weights, size: str | None) -> Weights:
    with usage("size: "):
        return weights.at(*size_of("size", size)) if size else weights


def show_scores(scores: Scores) -> None:
    """The classes that there are; of the others only the names."""
    table = Table("class", "IoU %", box=None)
    for name, value in scores.iou.items():
        if value is not None:
            table.add_row(name, f"{100 * value:.1f}")
    console = Console(highlight=False)
    console.print(table)
    absent = [name for name, value in scores.iou.items() if value is None]
    if absent:
        console.print(f" absent: {', '.join(absent)}")
