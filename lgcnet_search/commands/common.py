"""Options and steps that the commands share."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast, get_args

import torch
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lgcnet_search.computing.precision import Amp
from lgcnet_search.data.sources import GENERATED_SIZE, generated_scenes
from lgcnet_search.space.space import Space

Height = Annotated[int, typer.Option(help="Input height in pixels.")]
Width = Annotated[int, typer.Option(help="Input width in pixels.")]
Channels = Annotated[int, typer.Option(help="Channels at full resolution.")]
Images = Annotated[int, typer.Option(min=1, help="How many street scenes to generate.")]
HeldOut = Annotated[int, typer.Option(min=1, help="How many street scenes to generate for evaluation.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Parts that each process's images are run in.")]
BatchSize = Annotated[int, typer.Option(min=2, help="Images in an update, over all processes.")]
SaveEvery = Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")]
GenotypeFile = Annotated[Path, typer.Argument(help="genotype.json of a search.")]
Classes = Annotated[int, typer.Option(help="Number of classes.")]
Seed = Annotated[int, typer.Option(help="Everything random follows from it.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read images.")]
TrainOn = Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: a GPU if there is one.")]
AmpName = Annotated[str, typer.Option("--amp", help="Precision of activations: none, bf16 or fp16.")]
ChannelsLast = Annotated[bool, typer.Option(help="Images in NHWC layout.")]
Resume = Annotated[bool, typer.Option(help="Go on from the checkpoint in OUT, where there is one.")]


class UsageError(Exception):
    """A value on the command line that cannot be."""


@contextmanager
def usage(what: str = "") -> Iterator[None]:
    """Turn a refused value into a message about the command line."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, not {first['input']!r}") from error
    except ValueError as error:
        raise UsageError(f"{what}{error}") from error


def space_of(height: int, width: int, channels: int, classes: int) -> Space:
    """The space of these options."""
    with usage():
        return Space(height=height, width=width, channels=channels, classes=classes)


def proxy_of(space: Space, crop: str, channels: int) -> Space:
    """The space at the size and channels that its supernet is trained at."""
    height, width = size_of("crop", crop)
    with usage("crop, proxy-channels: "):
        return replace(space, height=height, width=width, channels=channels)


def size_of(name: str, text: str) -> tuple[int, int]:
    """Height and width of "HEIGHTxWIDTH"."""
    found = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if not found:
        raise UsageError(f"{name}: {text!r} is not a size; give it like 128x256")
    return int(found[1]), int(found[2])


def one_of(name: str, text: str, known: tuple[str, ...]) -> str:
    """A value that is one of a few."""
    if text not in known:
        raise UsageError(f"{name}: {text!r} given, it may be {', '.join(known)}")
    return text


def amp_of(text: str) -> Amp:
    """The precision of activations."""
    return cast(Amp, one_of("amp", text, get_args(Amp)))


def number_of(name: str, text: str) -> float:
    """A number out of a list of them."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UsageError(f"{name}: {text!r} is not a number; give one, or several with commas between")
    return value


def share_of(batch: int, parts: int) -> int:
    """The images of a batch that one of `parts` (processes × accumulate) takes."""
    share, rest = divmod(batch, parts)
    if rest or share < 2:
        raise UsageError(f"batch: {batch} images in {parts} parts (processes × accumulate); at least 2 each, all equal")
    return share


def torch_device(name: str) -> torch.device:
    """The device that is trained on."""
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
def progress_bar(what: str, total: int | None, shown: bool = True) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on stderr, with room for a note."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        yield progress, progress.add_task(what, total=total, note="")


def drawn_scenes(images: int, held_out: int = 0, size: tuple[int, int] = GENERATED_SIZE) -> Path:
    """The folder with so many generated street scenes for training, and for evaluation."""
    with progress_bar("drawing street scenes", images + held_out) as (progress, task):

        def on_scene(there: int, _: int) -> None:
            progress.update(task, completed=there)

        return generated_scenes(images, on_scene, held_out=held_out, size=size)


def refuse_earlier(checkpoint: Path, resume: bool) -> None:
    """Keep what an earlier run left, unless it is to go on."""
    if checkpoint.exists() and not resume:
        raise UsageError(f"out: {checkpoint} is of an earlier run; --resume goes on with it, another --out begins anew")
