"""The agent's handle on a measuring process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from profiler_agent.errors import AgentMustStop, JobFailed
from profiler_agent.exit_status import how_it_ended
from profiler_agent.machine.allocator import KEEP_BUFFERS
from profiler_agent.messages import (
    MESSAGE,
    BuildTask,
    Failed,
    Finished,
    Inspected,
    InspectTask,
    Message,
    MustStop,
    NoiseTask,
    Task,
)


class MeasuringProcess:
    """Runs one task in a new process. It ends when this process ends, and does not see the terminal's Ctrl-C.

    Its temporary files are gone when it is killed.
    """

    def __init__(self, task: Task) -> None:
        self._scratch = TemporaryDirectory(prefix="profiler-agent-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "profiler_agent.measuring.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # PYTHONSAFEPATH, from Python 3.11: spaces come from what is installed, not from the working directory.
            env={**KEEP_BUFFERS, **_without_token(os.environ), "PYTHONSAFEPATH": "1", "TMPDIR": self._scratch.name},
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it ended at once: `messages` says how
            self._process.stdin.write(task.model_dump_json().encode() + b"\n")

    def messages(self) -> Iterator[Message]:
        """Every message up to and without Finished.

        Raises:
            JobFailed: the task cannot be done, or the process died; the message says how.
            AgentMustStop: the device cannot be measured on.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = MESSAGE.validate_json(line)
            except ValidationError:  # cut off by a kill
                break
            if isinstance(message, (Failed, MustStop, Finished)):
                self.kill()
                if isinstance(message, Failed):
                    raise JobFailed(message.error)
                if isinstance(message, MustStop):
                    raise AgentMustStop(message.error)
                return
            yield message
        raise JobFailed(f"the measuring process {how_it_ended(self._process.wait())}")

    def kill(self) -> None:
        """End it and its workers now. They have no state to lose."""
        with suppress(ProcessLookupError, PermissionError):  # it has ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._scratch.cleanup()


def _without_token(environment: Mapping[str, str]) -> dict[str, str]:
    """A search space's code runs there: it has no business with the server."""
    return {name: value for name, value in environment.items() if name not in ("LUT_TOKEN", "LUT_TOKEN_FILE")}


def messages_of(task: InspectTask | NoiseTask | BuildTask) -> Iterator[Message]:
    """What a measuring process says: of this machine Inspected first, then what the task asks for.

    Raises:
        AgentMustStop: the device is not here.
        JobFailed: the task cannot be done, or the process died.
    """
    process = MeasuringProcess(task)
    try:
        yield from process.messages()
    finally:
        process.kill()


def inspect_device(device: str) -> Inspected:
    """Device and environment of this machine. Raises as `messages_of`."""
    for message in messages_of(InspectTask(device=device)):
        if isinstance(message, Inspected):
            return message
    raise JobFailed("the measuring process did not describe its device")
