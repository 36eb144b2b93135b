"""lgcnet-search pretrain, finetune: the weights of a network that was found."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from lgcnet_search.commands.common import (
    Accumulate,
    AmpName,
    BatchSize,
    ChannelsLast,
    GenotypeFile,
    HeldOut,
    Images,
    Resume,
    SaveEvery,
    Seed,
    TrainOn,
    Workers,
    amp_of,
    drawn_scenes,
    one_of,
    refuse_earlier,
    share_of,
    size_of,
    torch_device,
    usage,
)
from lgcnet_search.commands.evaluation import DataFolder, LayoutName, show_scores, source_of
from lgcnet_search.commands.phases import Computing, Phase
from lgcnet_search.computing.processes import Processes, launched
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.imagenet import ImageNet
from lgcnet_search.data.sources import CAMVID_SIZE, GENERATED, EvaluationSplit, TrainSplit, generated_classes
from lgcnet_search.data.views import CenterCrop, RandomResizedCrop
from lgcnet_search.space.classifier import Classifier
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.network import DerivedNetwork, seeded
from lgcnet_search.training.evaluate import evaluate, top1
from lgcnet_search.training.losses import CrossEntropy, HardExamples
from lgcnet_search.training.recalibrate import whole_network
from lgcnet_search.training.report import TRAINED_ON, write_scores
from lgcnet_search.training.train import TrainRecord
from lgcnet_search.training.weights import Weights

NO_CLASS = -100
"""No target of ImageNet: its class 255 is one."""

LearningRate = Annotated[float, typer.Option("--lr", help="Learning rate of the first step.")]
Decay = Annotated[float, typer.Option(help="Weight decay.")]


def pretrain(
    genotype: GenotypeFile,
    data: Annotated[str, typer.Option(help="An ImageNet folder, or 'generated': cut from street scenes.")] = GENERATED,
    images: Images = 200,
    held_out: HeldOut = 50,
    epochs: Annotated[int, typer.Option(min=1, help="Times that every image is seen.")] = 100,
    batch: BatchSize = 256,
    accumulate: Accumulate = 1,
    side: Annotated[int, typer.Option(min=32, help="Height and width of the crops.")] = 224,
    lr: LearningRate = 0.1,
    decay: Decay = 4e-5,
    smoothing: Annotated[float, typer.Option(min=0, max=1, help="Label smoothing.")] = 0.1,
    amp: AmpName = "none",
    channels_last: ChannelsLast = False,
    seed: Seed = 0,
    workers: Workers = 1,
    train_on: TrainOn = "auto",
    out: Annotated[Path, typer.Option(help="Folder for weights.pt and scores.")] = Path("runs/pretrain"),
    resume: Resume = False,
    save_every: SaveEvery = 500,
) -> None:
    """Train the backbone of a genotype to classify images; writes weights.pt for finetune to OUT.

    Under torchrun, the processes share each batch.
    """
    found = Genotype.load(genotype)
    with launched(torch_device(train_on)) as (processes, device):
        _prepare(out, ["pretrain.pt"], resume, processes)
        root = Path(data)
        if data == GENERATED:
            made = generated_classes(drawn_scenes(images, held_out)) if processes.first else root
            root = processes.from_first(made)
        size = (side, side)
        dataset = ImageNet(root, "train", RandomResizedCrop(size), seed=seed)
        held = ImageNet(root, "val", CenterCrop(size))
        if held.classes != dataset.classes:
            raise DataError(f"{root}: train and val have other class folders; sort both into the same ones")
        with seeded(seed), usage("side: "):
            network = Classifier(found, len(dataset.classes), *size)
        how = Computing(batch, accumulate, amp_of(amp), channels_last, workers, seed, save_every, device, processes)
        phase = Phase("pretraining", epochs, lr, decay, CrossEntropy(NO_CLASS, smoothing), out / "pretrain.pt")
        origin = {"genotype": found.to_json(), "side": side}
        history = phase.run(network, dataset, how, origin, str(root))
        share = top1(network, held, device, amp=how.amp, workers=workers, processes=processes)
        if processes.first:
            Weights(found, network.backbone(), "backbone").save(out / "weights.pt")
            _write_history(out, {"pretraining": history})
            scores = {"top1": share, "images": len(held), "classes": len(held.classes), "data": str(root)}
            (out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", "utf-8")
            typer.echo(f"{out / 'weights.pt'}: top-1 {share:.2%} of {len(held)} images of {len(held.classes)} classes")


def finetune(
    genotype: GenotypeFile,
    data: DataFolder = GENERATED,
    layout: LayoutName = "cityscapes",
    images: Images = 200,
    held_out: HeldOut = 50,
    weights: Annotated[Path | None, typer.Option(help="weights.pt to start from: of pretrain, or of finetune.")] = None,
    split: Annotated[str, typer.Option(help="What is trained on: train or trainval.")] = "train",
    coarse_epochs: Annotated[int, typer.Option(min=0, help="Before: epochs on Cityscapes' coarse labels.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Times that every image is seen.")] = 200,
    batch: BatchSize = 8,
    accumulate: Accumulate = 1,
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH of the input; left out: the genotype's, or 720x960 on CamVid.")
    ] = None,
    crop: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH that is trained at; left out: the input's.")] = None,
    lr: LearningRate = 0.01,
    decay: Decay = 5e-4,
    plain: Annotated[bool, typer.Option(help="Cross-entropy over all pixels, not the hard ones alone.")] = False,
    amp: AmpName = "none",
    channels_last: ChannelsLast = False,
    seed: Seed = 0,
    workers: Workers = 1,
    train_on: TrainOn = "auto",
    out: Annotated[Path, typer.Option(help="Folder for weights.pt and scores.")] = Path("runs/finetune"),
    resume: Resume = False,
    save_every: SaveEvery = 200,
) -> None:
    """Train a genotype's network to segment, and evaluate it; writes weights.pt to OUT.

    Where the crop is smaller than the input, BatchNorm's statistics are taken anew at the input's size. On CamVid, the
    network that was found for Cityscapes is taken over at CamVid's size and classes. Under torchrun, the processes
    share each batch.
    """
    found = Genotype.load(genotype)
    part = cast(TrainSplit, one_of("split", split, get_args(TrainSplit)))
    start = Weights.load(weights) if weights else None
    with launched(torch_device(train_on)) as (processes, device):
        _prepare(out, ["coarse.pt", "finetune.pt"], resume, processes)
        source = source_of(data, layout, images, held_out, processes)
        height, width = (found.space.height, found.space.width) if source.layout == "cityscapes" else CAMVID_SIZE
        if size:
            height, width = size_of("size", size)
        trained_at = size_of("crop", crop) if crop else (height, width)
        with usage("size, crop: "):
            space = replace(found.space, height=height, width=width, classes=source.labels.classes)
            at_crop = found.at(replace(space, height=trained_at[0], width=trained_at[1]))
        with seeded(seed):
            network = DerivedNetwork(at_crop)
        if start:
            start.initialize(network)
        how = Computing(batch, accumulate, amp_of(amp), channels_last, workers, seed, save_every, device, processes)
        loss = CrossEntropy() if plain else HardExamples()
        phases = [Phase("finetuning", epochs, lr, decay, loss, out / "finetune.pt")]
        if coarse_epochs:
            phases.insert(0, Phase("coarse", coarse_epochs, lr, decay, loss, out / "coarse.pt"))
        origin = {
            "genotype": at_crop.to_json(),
            "size": f"{height}x{width}",
            "weights": hashlib.sha256(weights.read_bytes()).hexdigest() if weights else None,
            "coarse_epochs": coarse_epochs,
        }
        # Opened before anything is trained, so that a missing folder is not found after days.
        held: EvaluationSplit = "test" if source.layout == "camvid" else "val"
        trained_on = part == "trainval" and held == "val"
        held_images = source.evaluation(held, (height, width))
        datasets = [
            source.training(part, trained_at, (height, width), seed, coarse=phase.name == "coarse") for phase in phases
        ]
        history = {
            phase.name: phase.run(network, dataset, how, origin, f"{source.root} {split}")
            for phase, dataset in zip(phases, datasets, strict=True)
        }
        uncut = source.evaluation(part, (height, width), full_labels=False)
        share = share_of(batch, processes.count * accumulate)
        whole = whole_network(network, uncut, (height, width), share, seed=seed, workers=workers, device=device)
        if processes.first:
            Weights(whole.genotype, whole.state_dict()).save(out / "weights.pt")
            _write_history(out, history)
        scores = evaluate(
            whole,
            held_images,
            device,
            amp=how.amp,
            channels_last=channels_last,
            workers=workers,
            processes=processes,
        )
        if processes.first:
            shown = f"{held} ({TRAINED_ON})" if trained_on else held
            write_scores(scores, f"{source.root} {shown}", out, trained_on=trained_on)
            show_scores(scores)
            typer.echo(f"{out / 'weights.pt'}: mIoU {scores.miou:.2%} on {scores.images} images of {shown}")


def _prepare(out: Path, checkpoints: list[str], resume: bool, processes: Processes) -> None:
    if processes.first:
        for name in checkpoints:
            refuse_earlier(out / name, resume)
        out.mkdir(parents=True, exist_ok=True)


def _write_history(out: Path, phases: dict[str, tuple[TrainRecord, ...]]) -> None:
    history = {name: [asdict(record) for record in records] for name, records in phases.items()}
    (out / "history.json").write_text(json.dumps(history, indent=1) + "\n", "utf-8")
