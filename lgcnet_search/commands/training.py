"""lgcnet-search pretrain, finetune: the weights of a network that was found."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lgcnet_search.commands.evaluation import show_scores
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import (
    GenotypeFile,
    HeldOut,
    Images,
    LossName,
    RunOptions,
    SourceOptions,
    drawn_scenes,
    size_of,
    usage,
)
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.losses import LOSSES, CrossEntropy, Loss
from lgcnet_search.computing.processes import Processes
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.data.cityscapes import COARSE
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.imagenet import ImageNet
from lgcnet_search.data.layouts import TRAINVAL, Layout
from lgcnet_search.data.segmentation import SegmentationFiles
from lgcnet_search.data.sources import GENERATED, DataFolder, generated_classes
from lgcnet_search.data.views import CenterCrop, RandomResizedCrop, Size
from lgcnet_search.space.classifier import ImageClassifier
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.network import DerivedNetwork, seeded
from lgcnet_search.space.space import Space
from lgcnet_search.training.evaluate import top1
from lgcnet_search.training.phase import History, OnStage, Phase, train_and_evaluate
from lgcnet_search.training.report import TRAINED_ON, write_scores
from lgcnet_search.training.train import Schedule, TrainRecord
from lgcnet_search.training.weights import Weights

NO_CLASS = -100
"""No target of ImageNet: its class 255 is one."""

PRETRAINING = RunOptions(batch=256, save_every=500)
FINETUNING = RunOptions(batch=8, save_every=200)

LearningRate = Annotated[float, typer.Option("--lr", help="Learning rate of the first step.")]
Decay = Annotated[float, typer.Option(help="Weight decay.")]


@grouped
def pretrain(
    genotype: GenotypeFile,
    data: Annotated[str, typer.Option(help="An ImageNet folder, or 'generated': cut from street scenes.")] = GENERATED,
    images: Images = 200,
    held_out: HeldOut = 50,
    epochs: Annotated[int, typer.Option(min=1, help="Times that every image is seen.")] = 100,
    side: Annotated[int, typer.Option(min=32, help="Height and width of the crops.")] = 224,
    lr: LearningRate = 0.1,
    decay: Decay = 4e-5,
    smoothing: Annotated[float, typer.Option(min=0, max=1, help="Label smoothing.")] = 0.1,
    how: RunOptions = PRETRAINING,
    out: Annotated[Path, typer.Option(help="Folder for weights.pt and scores.")] = Path("runs/pretrain"),
) -> None:
    """Train the backbone of a genotype to classify images; writes weights.pt for finetune to OUT.

    Under torchrun, the processes share each batch.
    """
    architecture = Genotype.load(genotype)
    checkpoint = out / "pretrain.pt"
    with how.begun() as computing:
        processes, size = computing.processes, (side, side)
        how.make_folders([checkpoint], processes)
        root = _imagenet(data, images, held_out, processes)
        dataset, held = (
            ImageNet(root, "train", RandomResizedCrop(size), seed=how.seed),
            ImageNet(root, "val", CenterCrop(size)),
        )
        if held.classes != dataset.classes:
            raise DataError(f"{root}: train and val have other class folders; sort both into the same ones")
        with seeded(how.seed), usage("side: "):
            network = ImageClassifier(architecture, len(dataset.classes), *size)
        loss = CrossEntropy(NO_CLASS, smoothing)
        phase = _phase("pretraining", dataset, epochs, lr, decay, loss, how, checkpoint, str(root))
        with _followed([phase], processes) as (on_step, _):
            history = phase.run(network, computing, {"genotype": architecture.to_json(), "side": side}, on_step)
        with progress_bar("evaluating", len(held), shown=processes.first) as show:
            share = top1(network, held, computing, on_images=lambda count: show(advance=count))
        if processes.first:
            Weights(architecture, network.backbone(), "backbone").save(out / "weights.pt")
            _write_history(out, {"pretraining": history})
            scores = {"top1": share, "images": len(held), "classes": len(held.classes), "data": str(root)}
            (out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", "utf-8")
            typer.echo(f"{out / 'weights.pt'}: top-1 {share:.2%} of {len(held)} images of {len(held.classes)} classes")


@dataclass(frozen=True)
class FinetuneOptions:
    """What is trained on, for how long, and at which sizes."""

    weights: Annotated[Path | None, typer.Option(help="weights.pt to start from: of pretrain, or of finetune.")] = None
    split: Annotated[Literal["train", "trainval"], typer.Option(help="What is trained on.")] = "train"
    coarse_epochs: Annotated[int, typer.Option(min=0, help="Before: epochs on Cityscapes' coarse labels.")] = 0
    epochs: Annotated[int, typer.Option(min=1, help="Times that every image is seen.")] = 200
    size: Annotated[
        str | None,
        typer.Option(
            help="HEIGHTxWIDTH of the input; left out: the genotype's, or the layout's if its classes differ."
        ),
    ] = None
    crop: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH that is trained at; left out: the input's.")] = None
    lr: LearningRate = 0.01
    decay: Decay = 5e-4
    loss: Annotated[LossName, typer.Option(help="hard-examples counts the pixels that are least certain.")] = (
        "hard-examples"
    )

    def sizes(self, space: Space, layout: Layout) -> tuple[Size, Size]:
        """Of the input, and of the crops that are trained on."""
        same_data = space.classes == layout.labels.classes
        size = size_of("size", self.size) if self.size else (space.height, space.width) if same_data else layout.size
        return size, size_of("crop", self.crop) if self.crop else size

    def origin(self, network: DerivedNetwork, size: Size) -> dict[str, Any]:
        """What must be equal for a training to go on."""
        return {
            "genotype": network.genotype.to_json(),
            "size": "{}x{}".format(*size),
            "weights": hashlib.sha256(self.weights.read_bytes()).hexdigest() if self.weights else None,
            "coarse_epochs": self.coarse_epochs,
        }

    def phases(self, source: DataFolder, size: Size, crop: Size, how: RunOptions, out: Path) -> list[Phase]:
        """The trainings, one after the other. Raises DataError, UsageError."""
        epochs = {"coarse": (COARSE, self.coarse_epochs), "finetuning": (self.split, self.epochs)}
        return [
            _phase(
                name,
                source.crops(split, crop, size, how.seed),
                count,
                self.lr,
                self.decay,
                LOSSES[self.loss],
                how,
                out / CHECKPOINTS[name],
                f"{source.root} {self.split}",
            )
            for name, (split, count) in epochs.items()
            if count
        ]


CHECKPOINTS = {"coarse": "coarse.pt", "finetuning": "finetune.pt"}


@grouped
def finetune(
    genotype: GenotypeFile,
    source: SourceOptions,
    options: FinetuneOptions,
    how: RunOptions = FINETUNING,
    out: Annotated[Path, typer.Option(help="Folder for weights.pt and scores.")] = Path("runs/finetune"),
) -> None:
    """Train a genotype's network to segment, and evaluate it; writes weights.pt to OUT.

    Where the crop is smaller than the input, BatchNorm's statistics are taken anew at the input's size. On another
    data set than it was searched on, the network is taken over at that data set's size and classes. Under torchrun,
    the processes share each batch.
    """
    architecture = Genotype.load(genotype)
    start = Weights.load(options.weights) if options.weights else None
    with how.begun() as computing:
        processes = computing.processes
        how.make_folders([out / name for name in CHECKPOINTS.values()], processes)
        folder = source.folder(processes)
        size, crop = options.sizes(architecture.space, folder.layout)
        network = _network(architecture, size, crop, folder.labels.classes, how.seed, start)
        held_out, trained_on = folder.layout.held_out, options.split == TRAINVAL and folder.layout.held_out == "val"
        shown = f"{held_out} ({TRAINED_ON})" if trained_on else held_out
        # Opened before anything is trained, so that a missing folder is noticed now and not after days.
        phases, held_images = options.phases(folder, size, crop, how, out), folder.whole(held_out, size)
        pictures = folder.whole(options.split, size, full_labels=False)

        def on_trained(whole: DerivedNetwork, history: History) -> None:
            if processes.first:
                Weights(whole.genotype, whole.state_dict()).save(out / "weights.pt")
                _write_history(out, history)

        with _followed(phases, processes) as (on_step, on_stage):
            scores = train_and_evaluate(
                network,
                phases,
                size,
                pictures,
                held_images,
                computing,
                options.origin(network, size),
                on_step=on_step,
                on_trained=on_trained,
                on_stage=on_stage,
            )
        if processes.first:
            write_scores(scores, f"{folder.root} {shown}", out, trained_on=trained_on)
            show_scores(scores)
            typer.echo(f"{out / 'weights.pt'}: mIoU {scores.miou:.2%} on {scores.images} images of {shown}")


def _network(
    genotype: Genotype, size: Size, crop: Size, classes: int, seed: int, start: Weights | None
) -> DerivedNetwork:
    """The network that is trained: at the crop's size, with the weights of `start`. Raises UsageError, WeightsError."""
    with usage("size, crop: "):
        whole = replace(genotype.space, height=size[0], width=size[1], classes=classes)
        space = replace(whole, height=crop[0], width=crop[1])
    with seeded(seed):
        network = DerivedNetwork(genotype.at(space))
    if start:
        start.initialize(network)
    return network


def _phase(
    name: str,
    dataset: SegmentationFiles | ImageNet,
    epochs: int,
    learning_rate: float,
    decay: float,
    loss: Loss,
    how: RunOptions,
    checkpoint: Path,
    data: str,
) -> Phase:
    steps = math.ceil(epochs * len(dataset) / how.batch)
    with usage():
        schedule = Schedule(steps, learning_rate, weight_decay=decay)
    checkpoints = Checkpoints(checkpoint, how.save_every, f"{data}, {how.batch} images in an update")
    return Phase(name, dataset, how.batch, schedule, loss, how.seed, checkpoints)


def _imagenet(data: str, images: int, held_out: int, processes: Processes) -> Path:
    """The folder in ImageNet's layout; generated pictures are drawn by the first process."""
    if data != GENERATED:
        return Path(data)
    return processes.from_first(generated_classes(drawn_scenes(images, held_out)) if processes.first else Path(data))


@contextmanager
def _followed(
    phases: Sequence[Phase], processes: Processes
) -> Iterator[tuple[Callable[[Phase, TrainRecord], None], OnStage]]:
    """A bar over one phase after the other, and over what comes after them."""
    with progress_bar(phases[0].name, None, shown=processes.first) as show:

        def on_step(phase: Phase, record: TrainRecord) -> None:
            note = f"loss {record.loss:.3f}  lr {record.learning_rate:.4f}"
            show(description=phase.name, total=phase.schedule.steps, completed=record.step + 1, note=note)

        def on_stage(stage: str, done: int, total: int) -> None:
            show(description=stage, total=total, completed=done, note="")

        yield on_step, on_stage


def _write_history(out: Path, phases: History) -> None:
    history = {name: [asdict(record) for record in records] for name, records in phases.items()}
    (out / "history.json").write_text(json.dumps(history, indent=1) + "\n", "utf-8")
