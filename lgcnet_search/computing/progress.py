"""A progress bar on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(description: str, total: int | None, shown: bool = True) -> Iterator[Callable[..., None]]:
    """A bar with room for a note; yields its update: advance, completed, total, description, note."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        yield partial(progress.update, progress.add_task(description, total=total, note=""))
