"""adaptive-networks dance: slim data and network together, and what an image then costs to answer and to train on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from adaptive_networks.commands.pictures import leaving
from adaptive_networks.commands.runs import LearnOptions, Run, commands
from adaptive_networks.core.plugin import Choice
from adaptive_networks.core.record import Point, Record
from adaptive_networks.core.streams import spread
from adaptive_networks.dance.deciding import Decisions
from adaptive_networks.dance.learning import Deciding, Trained, arms, complexities, train
from adaptive_networks.dance.plugin import space as plugin
from adaptive_networks.dance.space import SETTINGS, Space
from latency_tables.contract import NetworkSpec
from lgcnet_search.commands.options import LayoutOption, torch_device
from lgcnet_search.commands.usage import UsageError, usage
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.data.layouts import LAYOUTS
from lgcnet_search.data.segmentation import SegmentationFiles, open_rgb
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.training.evaluate import evaluate

TRAINING = "training"
"""The folder with what an image costs to train on."""
SHOWN = 5


@dataclass(frozen=True)
class DanceOptions:
    """What is trained on, how long, and how far the network is slimmed."""

    data: Annotated[Path, typer.Option(help="A folder of the layout, with pictures to train and to evaluate on.")]
    layout: LayoutOption = "camvid"
    images: Annotated[int | None, typer.Option(min=10, help="Pictures of each split; left out: all.")] = None
    epochs: Annotated[int, typer.Option(min=1, help="Times that every picture is presented.")] = 4
    channels: Annotated[float, typer.Option(help="Share of the channels that is removed.")] = 0.4


class Result(NamedTuple):
    """A trained arm, and on held-out and test pictures its mean IoU and the share of each ratio."""

    name: str
    trained: Trained
    decides: bool
    miou: tuple[float, float]
    shares: tuple[Mapping[int, float], Mapping[int, float]]


def trained(run: Run[DanceOptions]) -> Sequence[Path]:
    """Train every arm on equally many images; records of what an image costs, in the folder and in one in it."""
    own, space = run.own, run.chosen(SETTINGS)
    folder = DataFolder(own.data, LAYOUTS[own.layout])
    if folder.labels.classes != space.classes:
        raise UsageError(f"layout: {own.layout} has {folder.labels.classes} classes, the setting {space.classes}")
    with usage():
        slimmed = arms(own.channels)
    size = (space.height, space.width)
    pictures = spread(folder.whole("train", size, full_labels=False), own.images)
    parts = [spread(folder.whole(split, size), own.images) for split in ("val", "test")]
    computing = Computing(torch_device(run.how.train_on))
    known = complexities(pictures)
    decisions = Decisions.by(known, len(space.ratios))
    results = []
    for arm in slimmed:
        with progress_bar(arm.name, own.epochs * len(pictures)) as show:
            found = train(
                space,
                pictures,
                arm,
                known,
                own.epochs,
                run.how.lr,
                run.how.seed,
                computing.device,
                lambda loss, show=show: show(advance=1, note=f"loss {loss:.3f}"),  # type: ignore[misc]
            )
        (miou, shares), (test_miou, test_shares) = (
            scored(found, decisions if arm.data else None, part, computing) for part in parts
        )
        results.append(Result(arm.name, found, arm.data, (miou, test_miou), (shares, test_shares)))
    torch.save({result.name: result.trained.network.state_dict() for result in results}, run.file("weights.pt"))
    counts = (len(parts[0]), len(parts[1]))
    typer.echo(_draw(pictures, known, decisions, space, run.out))
    return [
        run.save(answering(results, run.setting, counts)),
        run.save(training(results, run.setting, counts), TRAINING),
    ]


def answering(results: Sequence[Result], setting: str, counts: tuple[int, int]) -> Record:
    """What an image costs to answer: paths are networks at a ratio, rates the shares of images that take it."""
    rated = []
    for result in results:
        space = result.trained.space
        choices: list[Choice] = [(ratio,) for ratio in range(len(space.ratios))] if result.decides else [()]
        rated.append(
            {
                _label(space, choice): _Rated(
                    plugin.network(space, 0, choice), *(part.get(ratio, 0.0) for part in result.shares)
                )
                for ratio, choice in enumerate(choices)
            }
        )
    return _record(results, setting, counts, rated)


def training(results: Sequence[Result], setting: str, counts: tuple[int, int]) -> Record:
    """What an image costs to train on, of those presented: one that is left out costs nothing."""
    rated = [
        {
            _label(space, (ratio,)): _Rated(plugin.training_step(space, (ratio,)), *[count / trained.presented] * 2)
            for (space, ratio), count in trained.taken.items()
        }
        for trained in (result.trained for result in results)
    ]
    return _record(results, setting, counts, rated)


class _Rated(NamedTuple):
    network: NetworkSpec
    rate: float
    test_rate: float


def _record(
    results: Sequence[Result], setting: str, counts: tuple[int, int], rated: Sequence[Mapping[str, _Rated]]
) -> Record:
    """A point for each result; `rated` are its paths by label."""
    networks = {label: path.network for paths in rated for label, path in paths.items()}

    def rates(paths: Mapping[str, _Rated], which: str) -> tuple[float, ...]:
        return tuple(getattr(paths[label], which) if label in paths else 0.0 for label in networks)

    points = [
        Point(
            series=result.name,
            label=f"{sum(result.trained.space.widths)} channels",
            rates=rates(paths, "rate"),
            accuracy=result.miou[0],
            test_rates=rates(paths, "test_rate"),
            test_accuracy=result.miou[1],
        )
        for result, paths in zip(results, rated, strict=True)
    ]
    return Record.of(plugin, setting, counts, networks, points, "mean IoU")


def _label(space: Space, choice: Choice) -> str:
    at = f"ratio {space.ratios[choice[0]]:g}" if choice else "plain"
    return f"{at}, {sum(space.widths)} channels"


def scored(
    found: Trained, decisions: Decisions | None, pictures: SegmentationFiles, computing: Computing
) -> tuple[float, Mapping[int, float]]:
    """Mean IoU, and the share of each ratio."""
    network = Deciding(found, decisions)
    scores = evaluate(network, pictures, computing)
    return scores.miou, {ratio: count / len(pictures) for ratio, count in network.taken.items()}


def _draw(pictures: SegmentationFiles, known: Sequence[float], decisions: Decisions, space: Space, out: Path) -> Path:
    """Training pictures of each ratio, the most complex first."""
    ordered = sorted(range(len(known)), key=lambda index: -known[index])
    rows = []
    for ratio, share in enumerate(space.ratios):
        there = [index for index in ordered if decisions.ratio(known[index]) == ratio]
        files = [pictures.files[index].image for index in there[:SHOWN]]
        rows.append((f"ratio {share:g}: {len(there)}", [np.asarray(open_rgb(file)) for file in files]))
    return leaving(rows, out / "complexity.png", "Which images are seen at which ratio, the most complex of each")


cli = commands(trained, LearnOptions(), DanceOptions, Path("runs/dance"), __doc__)
