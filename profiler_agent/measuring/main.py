"""The measuring process: takes one task from stdin, sends messages on stdout, and knows no server.

It is a process of its own so that renewing leases, sending and signals disturb no block, and so that all memory of a
job is given back when it ends.
"""

import os
import sys
import threading
from typing import TextIO

from latency_tables.contract import Contract
from profiler_agent.measuring.pipe import take_stdout
from profiler_agent.measuring.processes import be_ready_to_fork
from profiler_agent.messages import TASK, MeasureTask, NoiseTask


def main() -> None:
    """Do the task on the first line of stdin; end with stdin, since then the agent is gone."""
    task = TASK.validate_json(sys.stdin.readline())
    send_line = take_stdout()

    def send(message: Contract) -> None:
        send_line(message.model_dump_json())

    if isinstance(task, (MeasureTask, NoiseTask)) and task.device == "cpu":
        be_ready_to_fork()
    threading.Thread(target=_end_with, args=(sys.stdin,), daemon=True).start()
    # Only now, because it imports torch, which takes seconds: what workers are forked from imports it meanwhile.
    from profiler_agent.measuring.tasks import carry_out

    carry_out(task, send)


def _end_with(stdin: TextIO) -> None:
    stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
