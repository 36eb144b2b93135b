"""What a person at the agent sees: a progress bar on a terminal, short plain lines elsewhere."""

import sys
from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from latency_tables.plain_text import plain


class Reporter:
    """Writes to stderr, so that stdout holds only the output of a command."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar: ProgressBar | None = None
        self._task: TaskID | None = None

    def say(self, line: str) -> None:
        """Print a line, without secrets and control characters, with the time of day where stderr is no terminal."""
        line = plain(line)
        if self._console.is_terminal:
            self._console.print(line, markup=False)
        else:
            print(f"{datetime.now():%H:%M:%S} {line}", file=sys.stderr, flush=True)

    def start(self, job: str, total: int) -> None:
        """Begin a job that has `total` keys to measure."""
        self.say(f"{job} to measure")
        if self._console.is_terminal:
            self._bar = ProgressBar(
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
        """Show what the job is doing, and that `done` keys are measured."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=doing, completed=done)

    def stop(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
