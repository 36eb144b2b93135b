"""The stages of a run: each shows how far it is, has a budget, and leaves how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Advance = Callable[[int, int], None]
"""Told how much is done, and of how much."""


class Stages:
    """Seconds by stage, in the order in which the stages began."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self.seconds: dict[str, float] = {}

    @property
    def total_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    @contextmanager
    def __call__(self, name: str, description: str) -> Iterator[Advance]:
        """Time a stage; a progress bar on a terminal, a line elsewhere."""
        if not self._console.is_terminal:
            self._console.print(description)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        started = time.monotonic()
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as progress:
            task = progress.add_task(description, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
        self.seconds[name] = time.monotonic() - started
