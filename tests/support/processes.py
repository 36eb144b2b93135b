"""`lut-server serve` in a process of its own."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import uuid6
from sqlalchemy.engine import make_url

from latency_tables.contract import Role, TokenRequest
from lut_server.clock import utc_now
from lut_server.settings import load_settings
from lut_server.storage import tokens
from lut_server.storage.database import Database
from tests.support.databases import migrate

START_S = 600
"""Long, for busy machines: a server that does not start is seen at once by its exit status."""

ENVIRONMENT = {"LUT_SECRET_KEY": secrets.token_hex(32)}
"""With a server key of the tests' own, so that they can make tokens while no server runs."""


def make_token(database_url: str, role: Role) -> str:
    """An access token in a database that this brings up to date."""
    migrate(make_url(database_url))
    key = load_settings({**ENVIRONMENT, "LUT_DATABASE_URL": database_url}).key.load()
    database = Database(database_url)
    with database.write() as session:
        made = tokens.create(session, uuid6.uuid7(), TokenRequest(name="test", role=role), key, utc_now())
    database.close()
    return made.token


class Server:
    """Takes a free port at its first start and keeps it when started again."""

    def __init__(
        self,
        database_url: str,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        python: Path = Path(sys.executable),
    ) -> None:
        self._python = python
        self._arguments = ["--database-url", database_url, *arguments]
        self._folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self._port = "0"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        self.launch()
        self.wait()

    def launch(self) -> None:
        self._ready = self._folder / f"ready-{time.monotonic_ns()}"
        command = [
            str(self._python),
            "-m",
            "lut_server",
            "serve",
            "--port",
            self._port,
            "--ready-file",
            str(self._ready),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._arguments], stdout=log, stderr=log, env=self._environment, cwd=self._folder
            )

    def wait(self) -> None:
        """Return once it listens."""
        assert self.process is not None
        give_up_at = time.monotonic() + START_S
        while not self._ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < give_up_at, "the server did not start"
            time.sleep(0.02)
        self.url = self._ready.read_text()
        self._port = self.url.rsplit(":", 1)[1]

    @property
    def log(self) -> Path:
        return self._folder / "server.log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def end(self, number: signal.Signals) -> int:
        """Send a signal; the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=START_S)

    def kill(self) -> None:
        """End it if it runs."""
        if self.process and self.process.poll() is None:
            self.end(signal.SIGKILL)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server with SQLite in `folder`, for the length of a `with` block."""
    server = Server(f"sqlite:///{folder}/lut.sqlite", folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
