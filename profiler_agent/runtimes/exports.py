"""ONNX models that the processes of one job share: each is exported once, by the process that needs it first."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from latency_tables.whole_files import write_whole

ShareExport = Callable[[Callable[[], bytes]], bytes]
"""Returns the bytes that its argument exports; it exports nothing if another process has done so."""


def alone(export: Callable[[], bytes]) -> bytes:
    """Export, and share with nobody."""
    return export()


class Exports:
    """Models by name in a folder. The kernel frees the lock of a process that dies, so another one exports instead."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, export: Callable[[], bytes]) -> bytes:
        """The model of this name, exported now unless some process has; while one is exporting, others wait."""
        path = self._folder / f"{name}.onnx"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                write_whole(path, export())
        return path.read_bytes()
