"""What a measuring process does: a task from its first message to its last."""

import os
from typing import get_args

import torch

from latency_tables.contract import Capability, Mode, Precision, Runtime
from latency_tables.plain_text import plain
from profiler_agent.errors import AgentMustStop, JobFailed
from profiler_agent.machine.cores import CORES, keep_to
from profiler_agent.machine.environment import Machine, inspect
from profiler_agent.measuring.measure import measure
from profiler_agent.measuring.noise import watch_references
from profiler_agent.measuring.pipe import Send
from profiler_agent.measuring.reasons import MAX_REASON, reason_of
from profiler_agent.measuring.workload import installed_spaces
from profiler_agent.messages import (
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
from profiler_agent.runtimes.mode import MODES, capabilities, library_versions, open_mode

MAX_ERROR = 4000


def carry_out(task: Task, send: Send) -> None:
    """The last message is Finished; before it Failed or MustStop where the task cannot be done."""
    try:
        _keep_to_cores()
        _do(task, send)
    except AgentMustStop as error:
        send(MustStop(error=plain(str(error))[:MAX_ERROR]))
    except JobFailed as error:
        send(Failed(error=plain(str(error))[:MAX_ERROR]))
    send(Finished())


def _keep_to_cores() -> None:
    """To those that the agent was given. Raises AgentMustStop."""
    if os.environ.get(CORES):
        try:
            keep_to(os.environ[CORES])
        except ValueError as error:
            raise AgentMustStop(str(error)) from error


def _do(task: Task, send: Send) -> None:
    machine = inspect(task.device, library_versions())
    if isinstance(task, MeasureTask):
        measure(task, machine, send)
        return
    if isinstance(task, BuildTask):
        # It needs ONNX, which the modes of a CPU do not: agents without that extra measure all the same.
        from profiler_agent.measuring.building import build_engines

        build_engines(task, machine.torch_device, send)
        return
    send(
        Inspected(
            torch_device=str(machine.torch_device),
            device=machine.device,
            environment=machine.environment,
            remarks=machine.remarks,
            works=_openable(machine.torch_device) if isinstance(task, InspectTask) else None,
        )
    )
    if not isinstance(task, InspectTask):
        send(watch_references(task, machine))
    elif task.check:
        send(_check(machine))


def _openable(device: torch.device) -> tuple[Capability, ...]:
    """Every mode and precision, and why one cannot be opened; nothing is executed, so this takes no second."""
    return tuple(
        Capability(mode=mode, precision=precision, reason=_why_not(mode, precision, device))
        for mode in MODES
        for precision in get_args(Precision)
    )


def _why_not(mode: Mode, precision: Precision, device: torch.device) -> str | None:
    try:
        open_mode(Runtime(mode=mode, precision=precision, threads=1 if device.type == "cpu" else None), device)
    except JobFailed as error:
        return plain(str(error))[:MAX_REASON]
    except Exception as error:  # of a library that is there and broken
        return reason_of(error)
    return None


def _check(machine: Machine) -> Checked:
    return Checked(
        capabilities=tuple(capabilities(machine.torch_device)),
        spaces=tuple(sorted(installed_spaces())),
    )
