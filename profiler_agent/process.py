"""The agent's handle on a measuring process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from pydantic import ValidationError

from profiler_agent.allocator import KEEP_BUFFERS
from profiler_agent.messages import MESSAGE, Failed, Finished, Inspected, InspectTask, MeasureTask, Message


class ProcessFailed(Exception):
    """The measuring process died or could not do its task; the message says how."""


class MeasuringProcess:
    """Runs one task in a new process. It ends when this process ends, and does not see the terminal's Ctrl-C."""

    def __init__(self, task: InspectTask | MeasureTask) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "profiler_agent.measuring"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            # PYTHONSAFEPATH: spaces come from what is installed, never from the working directory.
            env={**KEEP_BUFFERS, **os.environ, "PYTHONSAFEPATH": "1"},
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
        raise ProcessFailed(_why(self._process.wait()))

    def kill(self) -> None:
        """End it now. Whatever it holds is the operating system's to clean up; it has no state to lose."""
        self._process.kill()
        self._process.wait()


def inspect(device: str, check: bool = False) -> Iterator[Message]:
    """What a measuring process says of this machine: Inspected first, then, with `check`, Checked.

    Raises:
        ProcessFailed: the device is not here, or the process died.
    """
    for message in MeasuringProcess(InspectTask(device=device, check=check)).messages():
        if isinstance(message, Failed):
            raise ProcessFailed(message.error)
        yield message


def inspect_device(device: str) -> Inspected:
    """Device and environment of this machine. Raises ProcessFailed as `inspect`."""
    for message in inspect(device):
        if isinstance(message, Inspected):
            return message
    raise ProcessFailed("the measuring process did not tell its device")


def _why(code: int) -> str:
    if code >= 0:
        return f"the measuring process ended with exit code {code}; its last words are on the agent's stderr"
    name = signal.Signals(-code).name
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"the measuring process was ended by {name}{hint}"
