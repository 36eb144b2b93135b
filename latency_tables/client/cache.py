"""Tables on disk, each with the ETag that it came with: what has not changed is not sent again."""

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

MAX_ENTRIES = 200


@dataclass(frozen=True)
class Entry:
    """A body, its ETag, and whether it stays as it is for ever."""

    etag: str
    immutable: bool
    body: bytes


class Cache:
    """One file for each URL. What cannot be read is not there, what cannot be written is left out.

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
            os.utime(path)  # the least recently read leave first
            etag, kind, body = rest.split(b"\n", 2)
            return Entry(etag.decode(), kind == b"immutable", body)
        except (OSError, ValueError):
            return None

    def put(self, url: str, entry: Entry) -> None:
        rest = b"\n".join([entry.etag.encode(), b"immutable" if entry.immutable else b"", entry.body])
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, part = tempfile.mkstemp(dir=self.folder, suffix=".part")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
                Path(part).replace(self._path(url))
            except OSError:
                Path(part).unlink()
            self._prune()

    def _path(self, url: str) -> Path:
        return self.folder / f"{hashlib.sha256(url.encode()).hexdigest()}.table"

    def _prune(self) -> None:
        files = list(self.folder.glob("*.table"))
        if len(files) > MAX_ENTRIES:
            for path in sorted(files, key=lambda path: path.stat().st_mtime)[:-MAX_ENTRIES]:
                path.unlink(missing_ok=True)
