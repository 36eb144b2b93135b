"""Online distillation: the student learns from a teacher that is asked the less, the better they agree."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adaptive_networks.core.streams import Frame, Overlap
from adaptive_networks.core.train_step import MOMENTUM, weighted_cross_entropy
from adaptive_networks.jitnet.operations import Classes
from lgcnet_search.computing.batches import IGNORE

LR = 0.01
APART = 2
"""Agreement is taken on every second pixel of every second row (decided here): on all it costs as much as a layer."""
Teacher = Callable[[Frame], Tensor]
"""A frame to its classes, 1×H×W."""


@dataclass(frozen=True)
class Stride:
    """Frames between two that the teacher answers: from `least` to `most`; at each up to `updates` of the student.

    `agreement`: the mean IoU from which on the student is left as it is. The defaults are of a summary of the paper.
    Raises ValueError naming field and value.
    """

    least: int = 8
    most: int = 64
    updates: int = 8
    agreement: float = 0.8

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ValueError(f"least: {self.least} is not from 1 to most, {self.most}")
        if self.updates < 0:
            raise ValueError(f"updates: {self.updates} is below 0")
        if not 0 <= self.agreement <= 1:
            raise ValueError(f"agreement: {self.agreement} is no share from 0 to 1")

    def after(self, stride: int, agreement: float) -> int:
        """The next stride: twice as long where they agree, else half."""
        return min(self.most, 2 * stride) if agreement > self.agreement else max(self.least, stride // 2)


class Seen(NamedTuple):
    """What became of a frame: whether the teacher was asked, updates, the stride from there on, agreement, seconds.

    `overlap` is of the output with what the teacher says of it, or would have said.
    """

    asked: bool
    updates: int
    stride: int
    overlap: Overlap
    seconds: float


def truth(frame: Frame) -> Tensor:
    """The teacher that is always right. Raises ValueError for a frame whose classes are not known."""
    if frame.truth is None:
        raise ValueError("teacher: the stream has no labels, so the truth is not known; give a network")
    return frame.truth


def network_teacher(network: Callable[[Tensor], Tensor]) -> Teacher:
    """Any network: images 1×3×H×W to logits 1×classes×H×W."""

    @torch.no_grad()
    def teach(frame: Frame) -> Tensor:
        return network(frame.image).max(dim=1).indices

    return teach


class Student:
    """A network in training by SGD, whose classes weigh as given."""

    def __init__(self, network: nn.Module, weights: Tensor, lr: float = LR) -> None:
        self.network = network.train()
        self.device = next(network.parameters()).device
        self.weights = weights.to(self.device)
        self.outputs = len(weights)
        self.classes = Classes(())
        self._optimizer = torch.optim.SGD(network.parameters(), lr, momentum=MOMENTUM)

    def logits(self, image: Tensor) -> Tensor:
        """1×classes×H×W."""
        logits: Tensor = self.network(image)[-1]
        return logits

    def agreement(self, logits: Tensor, classes: Tensor) -> float:
        """Mean IoU with these classes."""
        some = slice(None, None, APART)
        given = self.classes(logits.detach()[:, :, some, some])
        return Overlap(self.outputs).add(given, classes[:, some, some]).miou

    def learn(self, logits: Tensor, classes: Tensor) -> None:
        """One update, from logits of the weights as they are."""
        valid = classes != IGNORE
        weights = valid * self.weights[classes.where(valid, 0)]
        loss = weighted_cross_entropy(logits, classes, weights / weights.sum().clamp(min=1))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()


def pretrain(
    student: Student, frames: Sequence[Frame], steps: int, seed: int, on_step: Callable[[], None] | None = None
) -> None:
    """Updates by frames at random."""
    generator = torch.Generator().manual_seed(seed)
    for index in torch.randint(len(frames), (steps,), generator=generator).tolist():
        frame = frames[index].on(student.device)
        student.learn(student.logits(frame.image), truth(frame))
        if on_step:
            on_step()


def follow(
    student: Student,
    stream: Iterable[Frame],
    teacher: Teacher,
    stride: Stride | None,
    judge: Teacher | None = None,
    on_frame: Callable[[Seen], None] | None = None,
) -> list[Seen]:
    """The loop over a stream; without a stride nobody is asked and nothing learnt.

    `judge` says what outputs are compared with, outside the time that is taken; left out, the teacher does.
    """
    seen, interval, due = [], stride.least if stride else 0, 0
    for number, each in enumerate(stream):
        frame = each.on(student.device)
        began, updates, asked = time.perf_counter(), 0, stride is not None and number == due
        if stride is not None and asked:
            classes = teacher(frame)
            while True:
                with torch.set_grad_enabled(updates < stride.updates):
                    logits = student.logits(frame.image)
                agreement = student.agreement(logits, classes)
                if agreement >= stride.agreement or updates == stride.updates:
                    break
                student.learn(logits, classes)
                updates += 1
            interval = stride.after(interval, agreement)
            due = number + interval
        else:
            with torch.no_grad():
                logits = student.logits(frame.image)
        answer = student.classes(logits.detach())
        seconds = time.perf_counter() - began
        overlap = Overlap(student.outputs).add(answer, (judge or teacher)(frame))
        seen.append(Seen(asked, updates, interval, overlap, seconds))
        if on_frame:
            on_frame(seen[-1])
    return seen


def rates(seen: Sequence[Seen]) -> tuple[float, float, float]:
    """Per frame: the student's answer, the teacher's, an update.

    The forward pass that leaves the inner loop is the frame's answer, each one before it belongs to its update.
    """
    asked, updates = sum(each.asked for each in seen), sum(each.updates for each in seen)
    return 1.0, asked / len(seen), updates / len(seen)
