"""The measuring process: takes one task from stdin, sends messages on stdout, and knows no server.

It is a process of its own so that renewing leases, sending and signals disturb no block, and so that all memory of a
job is given back when it ends.
"""

import os
import sys
import threading
from typing import TextIO

from latency_tables.contract import Contract
from profiler_agent.errors import AgentMustStop, JobFailed
from profiler_agent.machine.environment import Machine, inspect
from profiler_agent.measuring.building import build_engines
from profiler_agent.measuring.measure import measure
from profiler_agent.measuring.noise import watch_references
from profiler_agent.measuring.pipe import Send, take_stdout
from profiler_agent.measuring.workload import installed_spaces
from profiler_agent.messages import (
    TASK,
    BuildTask,
    Checked,
    Failed,
    Finished,
    Inspected,
    InspectTask,
    MeasureTask,
    MustStop,
    Task,
)
from profiler_agent.runtimes.mode import capabilities, library_versions

MAX_ERROR = 4000


def main() -> None:
    """Do the task on the first line of stdin; end with stdin, since then the agent is gone."""
    task = TASK.validate_json(sys.stdin.readline())
    send_line = take_stdout()

    def send(message: Contract) -> None:
        send_line(message.model_dump_json())

    threading.Thread(target=_end_with, args=(sys.stdin,), daemon=True).start()
    try:
        _do(task, send)
    except AgentMustStop as error:
        send(MustStop(error=str(error)[:MAX_ERROR]))
    except JobFailed as error:
        send(Failed(error=str(error)[:MAX_ERROR]))
    send(Finished())


def _do(task: Task, send: Send) -> None:
    machine = inspect(task.device, library_versions())
    if isinstance(task, MeasureTask):
        measure(task, machine, send)
        return
    if isinstance(task, BuildTask):
        build_engines(task, machine.torch_device, send)
        return
    send(Inspected(torch_device=str(machine.torch_device), device=machine.device, environment=machine.environment))
    if not isinstance(task, InspectTask):
        send(watch_references(task, machine))
    elif task.check:
        send(_check(machine))


def _check(machine: Machine) -> Checked:
    return Checked(
        capabilities=tuple(capabilities(machine.torch_device)),
        spaces=tuple(sorted(installed_spaces())),
    )


def _end_with(stdin: TextIO) -> None:
    stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
