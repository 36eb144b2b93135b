"""What was stdout carries messages only: whatever a library prints goes to stderr and cannot break one."""

import os
from collections.abc import Callable

from latency_tables.contract import Contract

SendLine = Callable[[str], None]
Send = Callable[[Contract], None]


def take_stdout() -> SendLine:
    """Turn this process's stdout into a pipe of lines, each sent at once."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def send_line(line: str) -> None:
        pipe.write(f"{line}\n")

    return send_line
