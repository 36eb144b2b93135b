"""The agent's handle on a measuring process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from profiler_agent.machine.allocator import KEEP_BUFFERS
from profiler_agent.messages import (
    MESSAGE,
    Failed,
    Finished,
    Gone,
    Inspected,
    InspectTask,
    MeasureTask,
    Message,
    NoiseTask,
)


class ProcessFailed(Exception):
    """The measuring process died or could not do its task; the message says how."""


class MeasuringProcess:
    """Runs one task in a new process. It ends when this process ends, and does not see the terminal's Ctrl-C.

    Its temporary files are gone when it is killed.
    """

    def __init__(self, task: InspectTask | MeasureTask | NoiseTask) -> None:
        self._scratch = TemporaryDirectory(prefix="profiler-agent-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "profiler_agent.measuring.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            # PYTHONSAFEPATH, from Python 3.11: spaces come from what is installed, not from the working directory.
            env={**KEEP_BUFFERS, **os.environ, "PYTHONSAFEPATH": "1", "TMPDIR": self._scratch.name},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(task.model_dump_json() + "\n")
        self._process.stdin.flush()

    def messages(self) -> Iterator[Message]:
        """Every message up to and without Finished.

        Raises:
            ProcessFailed: it ended without having finished.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = MESSAGE.validate_json(line)
            except ValidationError:  # cut off by a kill
                break
            if isinstance(message, Finished):
                self.kill()
                return
            yield message
        raise ProcessFailed(f"the measuring process {how_it_ended(self._process.wait())}")

    def kill(self) -> None:
        """End it and its workers now. They have no state to lose."""
        with suppress(ProcessLookupError, PermissionError):  # it has ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._scratch.cleanup()


def tell(task: InspectTask | NoiseTask) -> Iterator[Message]:
    """What a measuring process says of this machine: Inspected first, then what the task asks for.

    Raises:
        ProcessFailed: the device is not here, or the process died.
    """
    process = MeasuringProcess(task)
    try:
        for message in process.messages():
            if isinstance(message, (Failed, Gone)):
                raise ProcessFailed(message.error)
            yield message
    finally:
        process.kill()


def inspect_device(device: str) -> Inspected:
    """Device and environment of this machine. Raises ProcessFailed as `tell`."""
    for message in tell(InspectTask(device=device)):
        if isinstance(message, Inspected):
            return message
    raise ProcessFailed("the measuring process did not tell its device")


def how_it_ended(code: int) -> str:
    """What a process's exit status says."""
    if code >= 0:
        return f"ended with exit code {code}; its last words are on the agent's stderr"
    name = signal.Signals(-code).name
    return f"was ended by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"
