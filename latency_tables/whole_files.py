"""A whole file or none: whoever reads it, and whoever is killed while writing it, finds the old content or the new."""

import os
import secrets
from pathlib import Path

SUFFIX = ".part"
"""Of the hidden file beside the target that is written first. Only a killed process leaves one behind."""


def write_whole(
    path: Path, *chunks: bytes | memoryview, mode: int | None = None, fsync: bool = False, new: bool = False
) -> None:
    """Write the chunks, one after the other, as the content of a file, in place of what it held.

    The file has the permissions `mode`, or those of any new file. With `fsync`, content and name survive a crash of the
    machine once this returns. A file that is `new` must not exist yet. Of several writers at once, the last one wins.

    Raises:
        FileExistsError: the file is to be `new` and exists.
        OSError: it cannot be written; what was there stays.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{SUFFIX}")
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, 0o666 if mode is None else mode)) as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.writelines(chunks)
            if fsync:
                file.flush()
                os.fsync(file.fileno())
        if new:
            os.link(part, path)
            part.unlink()
        else:
            part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if fsync:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
