"""The server and the agent as child processes that never outlive their parent."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from latency_tables.children import signal_with_parent
from latency_tables.plain_text import plain

STOP_S = 15.0
TAIL_LINES = 15
TAIL_BYTES = 8000


class ServiceDied(Exception):
    """A child process ended by itself; the message has the end of its log."""


@dataclass(frozen=True)
class Service:
    """A running command, its output in `log` from `log_start` on."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    log_start: int = 0

    def check(self) -> None:
        """Raise ServiceDied when the process has ended."""
        code = self.process.poll()
        if code is not None:
            cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise ServiceDied(f"the {self.name} ended ({cause}); the end of {self.log}:\n{self._tail()}")

    def _tail(self) -> str:
        """The last lines that this run wrote, for people."""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self.log_start, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        return plain("\n".join(text.splitlines()[-TAIL_LINES:]), lines=True)

    def stop(self) -> None:
        """Ask the process to end, and insist after 15 s."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def service(name: str, command: Sequence[str], log: Path) -> Iterator[Service]:
    """Run a command for the length of a `with` block; what earlier ones wrote to `log` stays."""
    with log.open("ab") as output:
        log_start = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(signal_with_parent, signal.SIGTERM),
        )
    running = Service(name, process, log, log_start)
    try:
        yield running
    finally:
        running.stop()


def wait_for_file(path: Path, services: Sequence[Service], timeout_s: float = 60) -> str:
    """The text of a file that a service writes when it is ready. Raises ServiceDied or TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        for running in services:
            running.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear within {timeout_s:.0f} s")
        time.sleep(0.05)
    return path.read_text().strip()
