"""adaptive-networks dance: slim data and network together, and what an image then costs to answer and to train on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from adaptive_networks.commands.pictures import leaving
from adaptive_networks.commands.runs import LearnOptions, Run, commands
from adaptive_networks.core.plugin import Choice
from adaptive_networks.core.record import Outcome, PathRates, Record
from adaptive_networks.core.streams import spread
from adaptive_networks.dance.choosing import AnswerCosts, under
from adaptive_networks.dance.deciding import Decisions
from adaptive_networks.dance.learning import DATA, PLAIN, Arm, Deciding, Trained, complexities, train
from adaptive_networks.dance.plugin import space as plugin
from adaptive_networks.dance.space import SETTINGS, Space
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
METRIC = "mean IoU"
CHANNELS = 0.4
"""The share that goes where none is asked for, nor a ceiling."""
SHOWN = 5


@dataclass(frozen=True)
class DanceOptions:
    """What is trained on, how long, and how far the network is slimmed."""

    data: Annotated[Path, typer.Option(help="A folder of the layout, with pictures to train and to evaluate on.")]
    layout: LayoutOption = "camvid"
    images: Annotated[int | None, typer.Option(min=10, help="Pictures of each split; left out: all.")] = None
    epochs: Annotated[int, typer.Option(min=1, help="Times that every picture is presented.")] = 4
    channels: Annotated[
        float | None,
        typer.Option(help="Share of the channels that is removed; left out: as --ceiling-ms takes, without one 0.4."),
    ] = None


class Result(NamedTuple):
    """A trained arm, and on held-out and test pictures its mean IoU and the share of each ratio."""

    name: str
    trained: Trained
    decides: bool
    miou: tuple[float, float]
    shares: tuple[Mapping[int, float], Mapping[int, float]]

    def label(self, space: Space, choice: Choice) -> str:
        """Of a path; whole networks are the same in all arms."""
        at = f"ratio {space.ratios[choice[0]]:g}" if choice else "plain"
        own = "" if space.widths == Space.widths else f"{self.name}, "
        return f"{own}{at}, {sum(space.widths)} channels"

    def outcome(self, paths: Mapping[str, PathRates]) -> Outcome:
        return Outcome(self.name, f"{sum(self.trained.space.widths)} channels", paths, *self.miou)


def trained(run: Run[DanceOptions]) -> Sequence[Path]:
    """Train every arm on equally many images; records of what an image costs, in the folder and in one in it."""
    own, space = run.own, run.chosen(SETTINGS)
    folder = DataFolder(own.data, LAYOUTS[own.layout])
    if folder.labels.classes != space.classes:
        raise UsageError(f"layout: {own.layout} has {folder.labels.classes} classes, the setting {space.classes}")
    with usage():
        both = Arm("both", data=True, channels=CHANNELS if own.channels is None else own.channels)
    size = (space.height, space.width)
    pictures = spread(folder.whole("train", size, full_labels=False), own.images)
    held_out, test = (spread(folder.whole(split, size), own.images) for split in ("val", "test"))
    computing = Computing(torch_device(run.how.train_on))
    known = complexities(pictures)
    decisions = Decisions.by(known, len(space.ratios))

    def fitted(arm: Arm) -> Result:
        with progress_bar(arm.name, own.epochs * len(pictures)) as show:

            def on_image(loss: float | None) -> None:
                show(advance=1)
                if loss is not None:
                    show(note=f"loss {loss:.3f}")

            found = train(space, pictures, arm, known, own.epochs, run.how.lr, run.how.seed, computing.device, on_image)
        run.require_finite(found.network)
        scores = [scored(found, decisions if arm.data else None, part, computing) for part in (held_out, test)]
        (miou, shares), (test_miou, test_shares) = scores
        return Result(arm.name, found, arm.data, (miou, test_miou), (shares, test_shares))

    if run.asked is None or own.channels is not None or not run.asked.ceilings_us:
        results = [fitted(arm) for arm in (PLAIN, DATA, both)]
    else:
        ratios = Counter(map(decisions.ratio, complexities(held_out)))
        shares = {ratio: count / len(held_out) for ratio, count in sorted(ratios.items())}
        with run.asked.connected() as client:
            costs = AnswerCosts(client, *run.asked.targets(client)[0], shares)
            costs.calibrate(space)
            slimmed = [
                replace(both, name=f"both, {us / 1000:g} ms", channels=under(us, costs, space))
                for us in run.asked.ceilings_us
            ]
            results = [fitted(arm) for arm in (PLAIN, DATA, *slimmed)]
    torch.save({result.name: result.trained.network.state_dict() for result in results}, run.file("weights.pt"))
    counts = (len(held_out), len(test))
    typer.echo(_draw(pictures, known, decisions, space, run.out))
    return [
        run.save(answering(results, run.setting, counts)),
        run.save(training(results, run.setting, counts), TRAINING),
    ]


def answering(results: Sequence[Result], setting: str, counts: tuple[int, int]) -> Record:
    """What an image costs to answer: paths are networks at a ratio, rates the shares of images that take it."""
    outcomes = []
    for result in results:
        space = result.trained.space
        choices: list[Choice] = [(ratio,) for ratio in range(len(space.ratios))] if result.decides else [()]
        paths = {
            result.label(space, choice): PathRates(
                plugin.network(space, 0, choice), *(part.get(ratio, 0.0) for part in result.shares)
            )
            for ratio, choice in enumerate(choices)
        }
        outcomes.append(result.outcome(paths))
    return Record.of(plugin, setting, counts, outcomes, METRIC)


def training(results: Sequence[Result], setting: str, counts: tuple[int, int]) -> Record:
    """What an image costs to train on, of those presented: one that is left out costs nothing."""
    outcomes = []
    for result in results:
        paths = {}
        for (space, ratio), count in result.trained.taken.items():
            rate = count / result.trained.presented
            paths[result.label(space, (ratio,))] = PathRates(plugin.training_step(space, (ratio,)), rate, rate)
        outcomes.append(result.outcome(paths))
    return Record.of(plugin, setting, counts, outcomes, METRIC)


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
        rows.append((f"ratio {share:g}\n{len(there)} images", [np.asarray(open_rgb(file)) for file in files]))
    return leaving(rows, out / "complexity.png", "Which images are seen at which ratio, the most complex of each")


cli = commands(trained, LearnOptions(), DanceOptions, Path("runs/dance"), __doc__)
