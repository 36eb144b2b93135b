"""`lut-server serve` in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

START_S = 60


class Server:
    """Takes a free port at its first start and keeps it when started again."""

    def __init__(
        self,
        database_url: str,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        python: Path = Path(sys.executable),
    ) -> None:
        self._python = python
        self._arguments = ["--database-url", database_url]
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
        return self.process.wait(timeout=15)

    def kill(self) -> None:
        """End it if it runs."""
        if self.process and self.process.poll() is None:
            self.end(signal.SIGKILL)
