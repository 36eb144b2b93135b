"""ONNX models that the processes of one job share: each is exported once, by the process that needs it first."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from latency_tables.whole_files import write_whole

Share = Callable[[Callable[[], bytes]], bytes]
"""Gives the bytes that its argument makes, without making them if another process has."""


def alone(make: Callable[[], bytes]) -> bytes:
    """For whoever shares with nobody."""
    return make()


class Exports:
    """Models by name in a folder. The kernel frees the lock of a process that dies, so another one exports instead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The model of this name, made now unless some process has; while one is at it, others wait."""
        path = self._folder / f"{name}.onnx"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                write_whole(path, make())
        return path.read_bytes()
