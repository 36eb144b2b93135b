"""What a person at the agent sees: a progress bar on a terminal, short plain lines elsewhere."""

import sys
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Reporter:
    """Speaks on stderr, so that stdout stays for what a command answers."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def say(self, line: str) -> None:
        """One line, with the time of day where it goes into a log."""
        if self._console.is_terminal:
            self._console.print(line, markup=False)
        else:
            print(f"{datetime.now():%H:%M:%S} {line}", file=sys.stderr, flush=True)

    def start(self, what: str, total: int) -> None:
        """A job begins that has `total` keys to measure."""
        self.say(f"{what} to measure")
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("building", total=total)
            self._bar.start()

    def advance(self, doing: str, done: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=doing, completed=done)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
