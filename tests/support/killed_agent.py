"""An agent that kills itself (SIGKILL) or loses its GPU at a named point of its second result; its measuring is played.

    python -m tests.support.killed_agent POINT LOG run --once --server …

LOG gets a line for every key that it measures. At the point `never` nothing happens, at `gpu lost` its GPU is gone.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import uuid6

from latency_tables.contract import Device, Environment, Measurement, Method, Quality
from latency_tables.whole_files import SUFFIX
from profiler_agent.__main__ import main
from profiler_agent.agent import job, process
from profiler_agent.agent.outbox import Outbox
from profiler_agent.errors import AgentMustStop
from profiler_agent.measuring.procedure import METHOD_VERSION
from profiler_agent.messages import Inspected, InspectTask, MeasureTask, Message, NewMeasurement

DEVICE = Device(uuid="CPU-killed", kind="cpu", vendor="test", name="test", memory_bytes=1, cores=1)
ENVIRONMENT = Environment(os="Linux", python="3.11")
RESULT = 2


class PlayedProcess:
    """Sends the messages of a measuring process, at once, with made-up numbers."""

    log: Path
    loses_gpu = False

    def __init__(self, task: InspectTask | MeasureTask) -> None:
        self._task = task

    def messages(self) -> Iterator[Message]:
        if isinstance(self._task, InspectTask):
            yield Inspected(torch_device="cpu", device=DEVICE, environment=ENVIRONMENT)
            return
        for number, key in enumerate(self._task.keys, start=1):
            if self.loses_gpu and number == RESULT:
                raise AgentMustStop("GPU-1 is gone (lost)")
            with self.log.open("a") as file:
                file.write(f"{key}\n")
            measurement = Measurement(
                id=uuid6.uuid7(),
                job_id=self._task.job.id,
                key=key,
                device=DEVICE.uuid,
                environment=ENVIRONMENT.digest,
                runtime=self._task.job.request.runtime,
                method=Method(version=METHOD_VERSION),
                samples_us=(10.0, 11.0, 12.0),
                executions_per_block=1,
                quality=Quality(converged=True),
                measured_at=datetime.now(timezone.utc),
            )
            yield NewMeasurement(measurement=measurement)

    def kill(self) -> None:
        pass


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str, *, counts: Callable[..., bool], before: bool = False, after: bool = False) -> None:
    """Die before or after the call of `owner.name` with the second result; `counts` says which calls have a result."""
    real, calls = getattr(owner, name), 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        is_result = counts(*args)
        calls += is_result
        if before and is_result and calls == RESULT:
            die()
        answer = real(*args, **kwargs)
        if after and is_result and calls == RESULT:
            die()
        return answer

    setattr(owner, name, call)


def is_body(_: socket.socket, data: Any) -> bool:
    return b'"samples_us"' in bytes(data)


def send_half() -> None:
    real, bodies = socket.socket.send, 0

    def send(sock: socket.socket, data: Any, *flags: int) -> int:
        nonlocal bodies
        bodies += is_body(sock, data)
        if is_body(sock, data) and bodies == RESULT:
            real(sock, bytes(data)[: len(data) // 2])
            die()
        return real(sock, data, *flags)

    setattr(socket.socket, "send", send)  # noqa: B010


def leave_receipt_unread() -> None:
    real_send, real_recv, bodies = socket.socket.send, socket.socket.recv, 0

    def send(sock: socket.socket, data: Any, *flags: int) -> int:
        nonlocal bodies
        bodies += is_body(sock, data)
        return real_send(sock, data, *flags)

    def recv(sock: socket.socket, size: int, *flags: int) -> bytes:
        received = real_recv(sock, size, *flags)
        if bodies == RESULT:
            die()
        return received

    setattr(socket.socket, "send", send)  # noqa: B010
    setattr(socket.socket, "recv", recv)  # noqa: B010


def is_result_file(path: Path, *_: object) -> bool:
    """A result's file in the outbox, or the draft of one."""
    return path.suffix in (".json", SUFFIX) and path.parent.parent.name == "outbox"


POINTS: dict[str, Callable[[], None]] = {
    "before it is written": lambda: around(Outbox, "put", counts=lambda *_: True, before=True),
    "before it is whole on disk": lambda: around(os, "fsync", counts=lambda *_: True, before=True),
    "before it has its name": lambda: around(Path, "replace", counts=is_result_file, before=True),
    "after it is written": lambda: around(Outbox, "put", counts=lambda *_: True, after=True),
    "while it is sent": send_half,
    "before the receipt is read": leave_receipt_unread,
    "before it is deleted": lambda: around(Path, "unlink", counts=is_result_file, before=True),
    "after it is deleted": lambda: around(Path, "unlink", counts=is_result_file, after=True),
}

if __name__ == "__main__":
    point, PlayedProcess.log = sys.argv[1], Path(sys.argv[2])
    del sys.argv[1:3]
    for module in (job, process):
        setattr(module, "MeasuringProcess", PlayedProcess)  # noqa: B010
    if point == "gpu lost":
        PlayedProcess.loses_gpu = True
    elif point != "never":
        POINTS[point]()
    main()
