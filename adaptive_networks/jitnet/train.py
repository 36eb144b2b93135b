"""adaptive-networks jitnet: a student that learns on the video that it answers, and what a frame costs in the mean."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from zipfile import is_zipfile

import torch
import typer

from adaptive_networks.commands.pictures import timeline
from adaptive_networks.commands.runs import LearnOptions, Run, commands
from adaptive_networks.core.record import Outcome, PathRates, Record
from adaptive_networks.core.streams import Folder, Generated, Labelled, Overlap, Stream, weights_of
from adaptive_networks.jitnet.online import (
    Seen,
    Stride,
    Student,
    Teacher,
    follow,
    network_teacher,
    pretrain,
    rates,
    truth,
)
from adaptive_networks.jitnet.plugin import space as plugin
from adaptive_networks.jitnet.space import SETTINGS, Space
from lgcnet_search.commands.options import LayoutOption, number_of, torch_device
from lgcnet_search.commands.usage import UsageError, usage
from lgcnet_search.computing.progress import progress_bar
from lgcnet_search.data.layouts import LAYOUTS
from lgcnet_search.data.sources import GENERATED
from lgcnet_search.data.views import Size
from lgcnet_search.space.network import seeded

TRUTH = "truth"
MEAN_OF = 10
"""Frames behind each value in the picture."""
FEWEST = 4
"""Frames, of which half say how good a stride is and half test it."""
STARTED_ON = 60
"""Pictures of other streets that the student starts from."""


@dataclass(frozen=True)
class JitnetOptions:
    """The stream, the teacher, and how often it is asked."""

    data: Annotated[
        str, typer.Option(help="'generated' for a drive, a folder of the layout, or of frames for a teacher's file.")
    ] = GENERATED
    layout: LayoutOption = "camvid"
    split: Annotated[str, typer.Option(help="Whose pictures are the frames, by name.")] = "test"
    frames: Annotated[int, typer.Option(min=FEWEST, help="Frames at most.")] = 300
    teacher: Annotated[str, typer.Option(help="'truth', or a file of torch.export: images to logits.")] = TRUTH
    start: Annotated[int, typer.Option(min=0, help="Updates on other streets before the first frame.")] = 150
    agreement: Annotated[str, typer.Option(help="Mean IoU with the teacher that is enough; with commas between.")] = (
        "0.5,0.7"
    )
    least: Annotated[int, typer.Option(help="Frames from one that the teacher answers to the next, at least.")] = 4
    most: Annotated[int, typer.Option(help="And at most.")] = 32
    updates: Annotated[int, typer.Option(help="Updates at such a frame, at most.")] = 8

    def stream(self, size: Size) -> Stream:
        """Raises UsageError, DataError."""
        if self.data == GENERATED:
            return Generated(size, self.frames)
        root, layout = Path(self.data), LAYOUTS[self.layout]
        if not root.is_dir():
            raise UsageError(f"data: {root} is no folder; name one, or {GENERATED!r}")
        stream: Stream = Folder(root, size, self.frames, layout.labels)
        if self.teacher == TRUTH:
            stream = Labelled(root, layout, self.split, size, self.frames)
        if len(stream) < FEWEST:
            raise UsageError(f"data: {root} has {len(stream)} frames, a stream takes {FEWEST} at least")
        return stream

    def teaches(self, stream: Stream, device: torch.device) -> Teacher:
        """Raises UsageError."""
        if self.teacher == TRUTH:
            return truth
        if not is_zipfile(self.teacher):  # torch would log a traceback
            raise UsageError(f"teacher: {self.teacher} is no program of torch.export; save one, or take truth")
        wanted = (stream.labels.classes, *stream.size)
        try:
            program = torch.export.load(self.teacher).module().to(device)
            gives = tuple(program(torch.zeros(1, 3, *stream.size, device=device)).shape[1:])
        except Exception as error:  # whatever a program of something else raises
            (why, *_) = str(error).splitlines() or [type(error).__name__]
            raise UsageError(f"teacher: {self.teacher} takes no images of {stream.size}: {why}") from error
        if gives != wanted:
            raise UsageError(f"teacher: {self.teacher} gives logits of {gives}, the stream takes {wanted}")
        return network_teacher(program)

    def strides(self) -> list[tuple[str, str, Stride | None]]:
        """What is compared: series, label, and the stride. Raises UsageError."""
        with usage():
            adaptive = [
                Stride(self.least, self.most, self.updates, number_of("agreement", text))
                for text in self.agreement.split(",")
            ]
        middle = round((self.least * self.most) ** 0.5)
        return [
            *(("adaptive", f"agreement {stride.agreement:g}", stride) for stride in adaptive),
            ("fixed stride", f"every {middle}", replace(adaptive[0], least=middle, most=middle)),
            ("never taught", "student alone", None),
        ]


def trained(run: Run[JitnetOptions]) -> Sequence[Path]:
    """Follow the stream with every stride, from the same weights; the record of what a frame costs."""
    own, device = run.own, torch_device(run.how.train_on)
    setting = run.chosen(SETTINGS)
    strides, stream = own.strides(), own.stream((setting.height, setting.width))
    teacher = own.teaches(stream, device)
    space, weights = replace(setting, classes=stream.labels.classes), weights_of(stream.labels)
    with seeded(run.how.seed):
        network = plugin.staged(space)
    start = Student(network.to(device), weights, run.how.lr)
    frames = stream.elsewhere(STARTED_ON) if own.start else []
    if frames:
        with progress_bar("starting on other streets", own.start) as show:
            pretrain(start, frames, own.start, run.how.seed, lambda: show(advance=1))
    torch.save(network.state_dict(), run.file("weights.pt"))
    followed = {}
    for series, label, stride in strides:
        student = Student(copy.deepcopy(network), weights, run.how.lr)
        with progress_bar(f"{series}, {label}", len(stream)) as show:
            followed[series, label] = follow(student, stream, teacher, stride, on_frame=_told(show))
        run.require_finite(student.network)
    lines = {
        f"{series}, {label}": (
            [agreed(seen[max(0, frame - MEAN_OF + 1) : frame + 1]) for frame in range(len(seen))],
            {frame: each.stride for frame, each in enumerate(seen) if each.asked},
        )
        for (series, label), seen in followed.items()
    }
    names = (f"mean IoU of {MEAN_OF} frames, %", "stride, frames")
    typer.echo(timeline(lines, names, run.out / "stream.png", "Agreement with the teacher, and when it is asked"))
    return [run.save(record(space, run.setting, followed))]


def _told(show: Callable[..., None]) -> Callable[[Seen], None]:
    return lambda seen: show(advance=1, note=f"every {seen.stride} frames")


def record(space: Space, setting: str, followed: dict[tuple[str, str], list[Seen]]) -> Record:
    """Paths are student, teacher and an update; what was found in the first half of a stream, tested in the second."""
    networks = {
        "student": plugin.network(space, 0),
        "teacher": plugin.network(space.teacher, 0),
        "update": plugin.training_step(space),
    }
    outcomes = []
    for (series, label), seen in followed.items():
        first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
        both = zip(rates(first), rates(second), strict=True)
        paths = {name: PathRates(networks[name], *of_halves) for name, of_halves in zip(networks, both, strict=True)}
        outcomes.append(Outcome(series, label, paths, agreed(first), agreed(second)))
    outcomes.append(Outcome("teacher", "teacher alone", {"teacher": PathRates(networks["teacher"], 1, 1)}, 1, 1))
    return Record.of(plugin, setting, (len(first), len(second)), outcomes, "mean IoU with the teacher")


def agreed(seen: Sequence[Seen]) -> float:
    """Mean IoU over all pixels of some frames."""
    return Overlap.sum(each.overlap for each in seen).miou


cli = commands(trained, LearnOptions(lr=0.01), JitnetOptions, Path("runs/jitnet"), __doc__)
