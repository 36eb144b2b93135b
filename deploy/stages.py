"""The stages of a run: each shows how far it is, has a budget, and leaves how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from lgcnet_search.computing.progress import progress_bar

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
        """Time a stage; a progress bar on a terminal, elsewhere a line now and one every half minute."""
        if not self._console.is_terminal:
            self._console.print(description)
        started = time.monotonic()
        with progress_bar(description, None, console=self._console) as show:
            yield lambda done, total: show(completed=done, total=total)
        self.seconds[name] = time.monotonic() - started
