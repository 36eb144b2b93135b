"""Tables on disk, each with the ETag that it came with, so that an unchanged table is not sent again."""

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from latency_tables.whole_files import write_whole

MAX_ENTRIES = 200


@dataclass(frozen=True)
class Entry:
    """The body of an answer, its ETag, and whether it never changes."""

    etag: str
    immutable: bool
    body: bytes


class Cache:
    """One file for each URL. A file that cannot be read counts as missing; a failed write is ignored.

    A file holds the SHA-256 of all that follows it, the ETag, "immutable" or nothing, and the body.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or user_cache_path("lut-client", appauthor=False)

    def get(self, url: str) -> Entry | None:
        path = self._path(url)
        try:
            data = path.read_bytes()
            digest, _, rest = data.partition(b"\n")
            if digest.decode() != hashlib.sha256(rest).hexdigest():
                return None
            os.utime(path)  # files are removed in the order of their last use
            etag, kind, body = rest.split(b"\n", 2)
            return Entry(etag.decode(), kind == b"immutable", body)
        except (OSError, ValueError):
            return None

    def put(self, url: str, entry: Entry) -> None:
        rest = b"\n".join([entry.etag.encode(), b"immutable" if entry.immutable else b"", entry.body])
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._path(url), hashlib.sha256(rest).hexdigest().encode(), b"\n", rest, mode=0o600)
            self._prune()

    def _path(self, url: str) -> Path:
        return self.folder / f"{hashlib.sha256(url.encode()).hexdigest()}.table"

    def _prune(self) -> None:
        files = list(self.folder.glob("*.table"))
        if len(files) > MAX_ENTRIES:
            for path in sorted(files, key=lambda path: path.stat().st_mtime)[:-MAX_ENTRIES]:
                path.unlink(missing_ok=True)
