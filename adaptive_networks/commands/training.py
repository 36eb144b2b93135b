"""What the trainings of all systems share: options, data, a run of the trainer; the commands `train` and `demo`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import torch
import typer
from torch import nn

from adaptive_networks.commands.expecting import TargetsOptions, expected_on, write
from adaptive_networks.commands.measuring import Budget, measure_paths, show_paths
from adaptive_networks.core.images import Chosen, Images, read_images
from adaptive_networks.core.plugin import Plugin
from adaptive_networks.core.record import Point, RatedPath, Record
from lgcnet_search.commands.groups import grouped
from lgcnet_search.commands.options import RunOptions
from lgcnet_search.commands.usage import UsageError, usage
from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import Computing
from lgcnet_search.computing.losses import Loss
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.data.loading import shares
from lgcnet_search.training.recalibrate import recalibrate
from lgcnet_search.training.train import Schedule, TrainRecord, train

SETTING = "demo"
Own = TypeVar("Own")
Of = TypeVar("Of")


@dataclass(frozen=True)
class ImagesOptions:
    """What is trained on, what thresholds are chosen with, what is tested with."""

    data: Annotated[Path, typer.Option(help="A folder with train and test (or val), each with a folder a class.")]
    images: Annotated[int, typer.Option(min=16, help="Images to train on.")] = 15000
    held_out: Annotated[int, typer.Option(min=10, help="Other images of train, for thresholds and rates.")] = 2000
    test: Annotated[int, typer.Option(min=10, help="Images of test.")] = 2000


@dataclass(frozen=True)
class ScheduleOptions(RunOptions):
    """How long and how fast, and how it is computed."""

    epochs: Annotated[float, typer.Option(min=0.01, help="Times that every image is seen.")] = 3
    lr: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 0.1


@dataclass(frozen=True)
class CompareOptions:
    """Of systems that are compared with another training."""

    compare: Annotated[
        bool, typer.Option(metavar="", help="Train what it is compared with, too: for as many steps.")
    ] = False


@dataclass(frozen=True)
class NoOptions:
    """Of systems without options of their own."""


def chosen(settings: dict[str, Of], name: str) -> Of:
    """The setting of this name. Raises UsageError."""
    if name not in settings:
        raise UsageError(f"setting: {name!r} is none of {', '.join(settings)}")
    return settings[name]


@dataclass(frozen=True)
class Training(Generic[Own]):
    """A training as it was asked for; `own` are the options of the system, `asked` those of the device in `demo`."""

    data: ImagesOptions
    how: ScheduleOptions
    setting: str
    own: Own
    out: Path
    asked: TargetsOptions | None = None

    def chosen(self, settings: dict[str, Of]) -> Of:
        """Raises UsageError for a setting that there is not."""
        return chosen(settings, self.setting)

    def read(self, side: int, classes: int) -> Images:
        """Raises DataError, and UsageError where the setting has other classes."""
        data = self.data
        images = read_images(data.data, side, data.images, data.held_out, data.test, self.how.seed)
        if images.classes != classes:
            raise UsageError(f"data: {data.data} has {images.classes} classes, the setting {classes}; name another one")
        return images

    def schedule(
        self, milestones: Sequence[float] = (0.5, 0.75), weight_decay: float = 1e-4, epochs: float = 0, **fields: Any
    ) -> Schedule:
        """Of `epochs`, or of as many as were asked for; `fields` are Schedule's."""
        with usage():
            steps = max(1, round((epochs or self.how.epochs) * self.data.images / self.how.batch))
            return Schedule(steps, self.how.lr, weight_decay=weight_decay, milestones=tuple(milestones), **fields)

    def fit(
        self,
        plugin: Plugin[Any],
        network: nn.Module,
        images: Images,
        schedule: Schedule,
        loss: Loss,
        computing: Computing,
        name: str = "training",
    ) -> None:
        """Train a network in place, from its checkpoint where --resume asks for that, with a bar."""
        checkpoint = self.out / f"{name.replace(' ', '-')}.pt"
        self.how.make_folders([checkpoint], computing.processes)
        with progress_bar(name, schedule.steps, shown=computing.processes.first) as show:

            def on_step(record: TrainRecord) -> None:
                show(advance=1, note=f"loss {record.loss:.3f}")

            train(
                network,
                shares(images.train, self.how.batch, self.how.seed, computing),
                schedule,
                loss,
                computing,
                checkpoints=Checkpoints(checkpoint, self.how.save_every, f"{len(images.train)} images"),
                origin={
                    "space": plugin.digest,
                    "setting": self.setting,
                    "network": name,
                    "batch": self.how.batch,
                    "seed": self.how.seed,
                },
                on_step=on_step,
            )

    def recalibrate(self, network: nn.Module, images: Chosen, computing: Computing, batches: int = 8) -> None:
        """BatchNorm's statistics of a network whose weights others share, from images that were trained on."""
        source = shares(images, self.how.batch, self.how.seed, computing)
        recalibrate(network, islice(source(0), batches), computing)

    def save(
        self,
        plugin: Plugin[Any],
        network: nn.Module,
        images: Images,
        paths: Sequence[RatedPath],
        points: Sequence[Point],
        ceilings_us: Sequence[float] = (),
    ) -> Record:
        """weights.pt and rates.json; prints the accuracy of every point that is no policy of thresholds."""
        record = Record(
            system=plugin.name,
            setting=self.setting,
            requirement=plugin.requirement,
            held_out=len(images.held_out),
            test=len(images.test),
            paths=tuple(paths),
            points=tuple(points),
            ceilings_us=tuple(ceilings_us),
        )
        record.save(self.out)
        torch.save(network.state_dict(), self.out / "weights.pt")
        for point in record.points:
            if not point.thresholds or max(point.rates) == 1:
                typer.echo(f"{point.series}, {point.label}: {record.tell(point)}")
        typer.echo(self.out / "rates.json")
        return record


def commands(
    trained: Callable[[Training[Own]], Record], how: ScheduleOptions, own: Own, out: Path, about: str | None
) -> typer.Typer:
    """`train` and `demo` of a system, with its defaults: `trained` trains and writes to the folder."""
    setting = Annotated[str, typer.Option(help="demo: minutes on two cores; or a network of the paper.")]
    folder = Annotated[Path, typer.Option(help="Folder for weights, rates.json and pictures.")]

    def train(data: ImagesOptions, how: Any = how, own: Any = own, setting: Any = SETTING, out: Any = out) -> None:
        """Train; writes weights, and rates and accuracies of all points of operation, to OUT."""
        trained(Training(data, how, setting, own, out))

    def demo(
        data: ImagesOptions,
        asked: TargetsOptions,
        how: Any = how,
        own: Any = own,
        setting: Any = SETTING,
        budget: Budget = None,
        out: Any = out,
    ) -> None:
        """Train, have the paths measured, and choose among the points under ceilings of each device and mode."""
        asked.require()
        demonstrate(trained(Training(data, how, setting, own, out, asked)), asked, out, budget)

    return with_hints((train, demo), {"how": type(how), "own": type(own), "setting": setting, "out": folder}, about)


def with_hints(named: Sequence[Callable[..., None]], hints: dict[str, Any], about: str | None) -> typer.Typer:
    """These functions as commands; `hints` are the types of those parameters that have none of their own."""
    cli = typer.Typer(help=about, no_args_is_help=True)
    for command in named:
        command.__annotations__.update(hints)
        cli.command(command.__name__)(grouped(command))
    return cli


def demonstrate(record: Record, asked: TargetsOptions, out: Path, budget_s: float | None) -> None:
    """Measure a trained network's paths on every device and mode, and choose among its points there."""
    with asked.connected() as client:
        targets = asked.targets(client)
        for target in targets:
            measure_paths(client, record, *target, budget_s)
            show_paths(client, record, *target)
        found = [expected_on(client, asked, record, *target) for target in targets]
    for each in found:
        typer.echo("\n".join(each.lines))
    write(out, record, found)
