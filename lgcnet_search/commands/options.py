"""Options and steps that the commands share."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
import typer

from latency_tables.client import LutClient
from latency_tables.contract import Device, LatencyTable, Mode, Precision, Runtime
from lgcnet_search import jobs
from lgcnet_search.ablations.arms import ABLATIONS
from lgcnet_search.ablations.scale import SCALES
from lgcnet_search.commands.access import AccessOptions
from lgcnet_search.commands.access import Server as Server
from lgcnet_search.commands.access import Token as Token
from lgcnet_search.commands.usage import UsageError as UsageError
from lgcnet_search.commands.usage import usage as usage
from lgcnet_search.computing.engines import Engine
from lgcnet_search.computing.how import Amp, Computing
from lgcnet_search.computing.losses import LOSSES
from lgcnet_search.computing.processes import Processes, launched
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.data.layouts import DEFAULT, LAYOUTS
from lgcnet_search.data.sources import GENERATED, GENERATED_SIZE, DataFolder, generated_scenes
from lgcnet_search.data.views import Size
from lgcnet_search.space.space import Space

if TYPE_CHECKING:
    AblationName = str
    LayoutName = str
    LossName = str
    ScaleName = str
else:

    def _name_of(table: Mapping[str, object]) -> Any:
        return Literal[tuple(table)]

    AblationName, LayoutName, LossName, ScaleName = map(_name_of, (ABLATIONS, LAYOUTS, LOSSES, SCALES))

DeviceName = Annotated[str | None, typer.Option("--device", help="UUID or name; left out: the only one there is.")]
ModeName = Annotated[Mode, typer.Option("--mode", help="How networks are executed.")]
PrecisionName = Annotated[Precision, typer.Option("--precision", help="What networks compute in.")]
Isolated = Annotated[
    bool,
    typer.Option(metavar="", help="Latencies as measured alone, also where the table knows those inside a network."),
]
Threads = Annotated[int | None, typer.Option(help="CPU threads; left out: one on a CPU.")]
Data = Annotated[str, typer.Option(help="A folder of the layout, or 'generated' for street scenes.")]
LayoutOption = Annotated[LayoutName, typer.Option(help="The data set: layout of the folder, classes, default size.")]
Images = Annotated[int, typer.Option(min=1, help="How many street scenes to generate.")]
HeldOut = Annotated[int, typer.Option(min=1, help="How many street scenes to generate for evaluation.")]
GenotypeFile = Annotated[Path, typer.Argument(help="genotype.json of a search.")]
AtOnce = Annotated[int, typer.Option(min=1, help="Networks made at a time, by a process each.")]
Cluster = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler whose workers make the networks: tcp://HOST:8786.")
]
Seed = Annotated[int, typer.Option(min=0, help="Everything random follows from it.")]


@dataclass(frozen=True)
class ServerOptions(AccessOptions):
    """The server, and how networks run on a device."""

    mode: ModeName = "pytorch"
    precision: PrecisionName = "fp32"
    threads: Threads = None

    def runtime_on(self, client: LutClient, name: str | None) -> tuple[Device, Runtime]:
        """The device of this name, and the runtime on it."""
        device = jobs.find_device(client, name)
        with usage():
            return device, jobs.runtime_on(device, self.mode, self.precision, threads=self.threads)


@dataclass(frozen=True)
class DeviceOptions(ServerOptions):
    """A device that the server knows."""

    device: DeviceName = None

    def target(self, client: LutClient) -> tuple[Device, Runtime]:
        """The device, and the runtime on it."""
        return self.runtime_on(client, self.device)

    def newest_table(self, client: LutClient) -> LatencyTable:
        """The newest table of the device and runtime."""
        return jobs.table_of(client, *self.target(client))


@dataclass(frozen=True)
class DevicesOptions(ServerOptions):
    """Several devices that the server knows."""

    device: Annotated[
        list[str] | None, typer.Option(help="UUID or name; may be repeated; left out: the only one there is.")
    ] = None

    def targets(self, client: LutClient) -> list[tuple[Device, Runtime]]:
        """Every device, and the runtime on it."""
        return [self.runtime_on(client, name) for name in self.device or (None,)]


@dataclass(frozen=True)
class SpaceOptions:
    """The space that is searched or measured."""

    layout: LayoutOption = DEFAULT
    height: Annotated[int | None, typer.Option(help="Input height in pixels; left out: the layout's.")] = None
    width: Annotated[int | None, typer.Option(help="Input width in pixels; left out: the layout's.")] = None
    channels: Annotated[int, typer.Option(help="Channels at full resolution.")] = 8
    classes: Annotated[int | None, typer.Option(help="Number of classes; left out: the layout's.")] = None

    def space(self, size: Size | None = None) -> Space:
        """The space at `size`, or at the size of the options."""
        layout = LAYOUTS[self.layout]
        options = (self.height, self.width, self.classes)
        defaults = (*layout.size, layout.labels.classes)
        height, width, classes = (
            default if option is None else option for option, default in zip(options, defaults, strict=True)
        )
        height, width = size or (height, width)
        with usage():
            return Space(height=height, width=width, channels=self.channels, classes=classes)


@dataclass(frozen=True)
class SourceOptions:
    """Labelled pictures for training and evaluation."""

    data: Data = GENERATED
    layout: LayoutOption = DEFAULT
    images: Images = 200
    held_out: HeldOut = 50

    def folder(self, processes: Processes) -> DataFolder:
        """The folder; generated pictures are drawn by the first process."""
        return data_folder(self.data, self.layout, self.images, self.held_out, processes)


@dataclass(frozen=True)
class ComputingOptions:
    """How batches are computed."""

    amp: Annotated[Amp, typer.Option(help="Precision of activations.")] = "none"
    channels_last: Annotated[bool, typer.Option(metavar="", help="Images in NHWC layout.")] = False
    workers: Annotated[int, typer.Option(min=0, help="Processes that read images.")] = 1
    train_on: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: a GPU if there is one.")] = "auto"

    @contextmanager
    def launched(self, accumulate: int = 1, *, elsewhere: bool = False) -> Iterator[Computing]:
        """With all processes that torchrun has started, each on its device.

        What is computed `elsewhere`, on a cluster, need not have its device here; auto is then a CPU.
        """
        with launched(named_device(self.train_on) if elsewhere else torch_device(self.train_on)) as (processes, device):
            yield Computing(device, self.amp, self.channels_last, accumulate, self.workers, processes)


@dataclass(frozen=True)
class RunOptions(ComputingOptions):
    """How a search or a training is computed, and where it goes on."""

    batch: Annotated[int, typer.Option(min=2, help="Images in an update, over all processes.")] = 4
    accumulate: Annotated[int, typer.Option(min=1, help="Parts that each process's images are run in.")] = 1
    seed: Seed = 0
    resume: Annotated[bool, typer.Option(metavar="", help="Go on from the checkpoint in OUT, where there is one.")] = (
        False
    )
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 50

    @contextmanager
    def begun(self, *, elsewhere: bool = False) -> Iterator[Computing]:
        """With all processes, between which the batch is divided. Raises UsageError."""
        with self.launched(self.accumulate, elsewhere=elsewhere) as computing:
            with usage():
                computing.share(self.batch)
            yield computing

    def make_folders(self, checkpoints: Sequence[Path], processes: Processes) -> None:
        """The folders of these files; an earlier run's are kept unless it is to go on. Raises UsageError."""
        for path in checkpoints if processes.first else ():
            if path.exists() and not self.resume:
                raise UsageError(
                    f"out: {path} is of an earlier run; --resume goes on with it, another --out begins anew"
                )
            path.parent.mkdir(parents=True, exist_ok=True)


def engine_of(at_once: int, cluster: str | None, computing: Computing) -> Engine:
    """Where networks are made. Raises UsageError."""
    if at_once > 1 and computing.processes.count > 1:
        raise UsageError(f"at-once: {at_once} given under torchrun, whose processes make one network together")
    if cluster and (at_once > 1 or computing.processes.count > 1):
        raise UsageError("cluster: its workers make a network each; give neither --at-once nor torchrun with it")
    return Engine(at_once, cluster, gpu=computing.device.type == "cuda")


def size_of(name: str, text: str) -> Size:
    """Height and width of "HEIGHTxWIDTH"."""
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if not match:
        raise UsageError(f"{name}: {text!r} is not a size; give it like 128x256")
    return int(match[1]), int(match[2])


def number_of(name: str, text: str) -> float:
    """A number out of a list of them."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UsageError(f"{name}: {text!r} is not a number; give one, or several with commas between")
    return value


def torch_device(name: str) -> torch.device:
    """The device that is trained on."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = named_device(name)
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise _no_device(name, error) from error
    return device


def named_device(name: str) -> torch.device:
    """The device of this name, whether this machine has it or not."""
    try:
        return torch.device("cpu" if name == "auto" else name)
    except RuntimeError as error:
        raise _no_device(name, error) from error


def _no_device(name: str, error: Exception) -> UsageError:
    reason = str(error).splitlines()[0]
    return UsageError(f"train-on: {name!r} cannot be used here ({reason}); give cpu or auto")


def data_folder(
    data: str, layout: str, images: int, held_out: int, processes: Processes, size: Size = GENERATED_SIZE
) -> DataFolder:
    """The folder named `data`, or that of generated scenes, which the first process draws. Raises UsageError."""
    if data != GENERATED:
        return DataFolder(Path(data), LAYOUTS[layout])
    if layout != DEFAULT:
        raise UsageError(f"layout: generated scenes are of {DEFAULT}, not {layout}; name a folder in --data")
    return DataFolder(processes.from_first(drawn_scenes(images, held_out, size) if processes.first else Path(data)))


def drawn_scenes(images: int, held_out: int = 0, size: Size = GENERATED_SIZE) -> Path:
    """The folder with so many generated street scenes for training, and for evaluation."""
    with progress_bar("drawing street scenes", images + held_out) as show:
        return generated_scenes(images, lambda done, _: show(completed=done), held_out=held_out, size=size)
