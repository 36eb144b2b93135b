"""Copies of an SQLite database while servers use it, by SQLite's own online backup."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from lut_server.storage.database import make_private


class BackupFailed(Exception):
    """No copy was made; the message says why."""


def back_up(database: Path, copy: Path) -> None:
    """Write a verified copy, readable for its owner only, as one file; writers go on meanwhile.

    Raises:
        BackupFailed: the copy exists already, cannot be written, or is not sound.
    """
    if copy.exists():
        raise BackupFailed(f"{copy}: exists already; name a new file")
    part = copy.with_name(f".{copy.name}.part")
    try:
        part.unlink(missing_ok=True)
        make_private(part)
        with closing(_open(database)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE").close()  # one file, with nothing beside it
            _require_sound(target, part)
        os.link(part, copy)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{copy}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def restore(copy: Path, database: Path, kept: Path) -> bool:
    """Put a copy in the place of a database, in one transaction: others see the old content or the new.

    A missing database is created, readable for its owner only. One with content is kept as `kept`
    first; whether it was.

    Raises:
        BackupFailed: the copy is no sound database, or the database cannot be written.
    """
    try:
        with closing(_open(copy)) as source:
            _require_sound(source, copy)
            has_old = database.exists() and database.stat().st_size > 0
            if has_old:
                _keep(database, kept)
            make_private(database)
            with closing(sqlite3.connect(database)) as target:
                source.backup(target)
                _require_sound(target, database)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{copy} to {database}: {error}") from error
    return has_old


def _keep(database: Path, kept: Path) -> None:
    """Copy what is to be replaced; a damaged database as it lies on the disk."""
    try:
        back_up(database, kept)
    except BackupFailed:
        make_private(kept)
        shutil.copyfile(database, kept)


def _open(path: Path) -> sqlite3.Connection:
    """An existing database; SQLite would make an empty one."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)


def _require_sound(connection: sqlite3.Connection, path: Path) -> None:
    integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
    broken_key = connection.execute("PRAGMA foreign_key_check").fetchone()
    if integrity != "ok" or broken_key is not None:
        raise BackupFailed(f"{path}: not a sound database ({integrity})")
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
        raise BackupFailed(f"{path}: not a database of lut-server")
