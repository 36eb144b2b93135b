"""How far a command is, on stderr: a bar on a terminal, elsewhere a line every half minute."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0


@contextmanager
def progress_bar(
    description: str, total: int | None, shown: bool = True, console: Console | None = None
) -> Iterator[Callable[..., None]]:
    """A bar with room for a note; yields its update: advance, completed, total, description, note."""
    console = console or Console(stderr=True)
    if shown and not console.is_terminal:
        lines = Lines(console, description, total)
        with lines.written_every(LINE_EVERY_S):
            yield lines.update
        return
    with drawn_bar(description, total, (MofNCompleteColumn(), TimeRemainingColumn()), console, shown) as update:
        yield update


@contextmanager
def drawn_bar(
    description: str, total: float | None, counts: Sequence[ProgressColumn], console: Console, shown: bool
) -> Iterator[Callable[..., None]]:
    """A bar: description, bar, `counts`, a note. Yields its update, which does nothing where no bar is shown.

    (rich before 14.3 ends a disabled bar with an empty line.)
    """
    if not shown:
        yield lambda **_: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), *counts, TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=console) as progress:
        yield partial(progress.update, progress.add_task(description, total=total, note=""))


class Lines:
    """What a bar would show, as a line of text now and then."""

    def __init__(
        self, console: Console, description: str, total: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._description = description
        self._total = total
        self._clock = clock
        self._completed = self._before = 0
        self._note = ""
        self._started = clock()

    def update(
        self,
        *,
        advance: int = 0,
        completed: int | None = None,
        total: int | None = None,
        description: str | None = None,
        note: str | None = None,
    ) -> None:
        """What has changed. Another description begins anew to count the time that is left.

        So does the first `completed`: what it counts, a run that is resumed may have done before.
        """
        if description is not None and description != self._description:
            self._description, self._started, self._completed, self._before = description, self._clock(), 0, 0
        if completed and not self._completed:
            self._started, self._before = self._clock(), completed
        self._completed = (self._completed if completed is None else completed) + advance
        self._total = self._total if total is None else total
        self._note = self._note if note is None else note

    def __str__(self) -> str:
        """Description, how much of how much, how long the rest will take at this pace, the note."""
        count = f"{self._completed}" if self._total is None else f"{self._completed}/{self._total}"
        words = [self._description, count]
        if self._total and self._before < self._completed < self._total:
            pace_s = (self._clock() - self._started) / (self._completed - self._before)
            left_s = pace_s * (self._total - self._completed)
            words.append(f"{left_s / 60:.0f} min left" if left_s >= 90 else f"{left_s:.0f} s left")
        return "  ".join(filter(None, [*words, self._note]))

    @contextmanager
    def written_every(self, seconds: float) -> Iterator[None]:
        """Write a line whenever so many seconds have passed, also where nothing is updated."""
        ended = threading.Event()

        def write() -> None:
            while not ended.wait(seconds):
                self._console.print(str(self), markup=False, highlight=False, soft_wrap=True)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
