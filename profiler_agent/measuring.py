"""The measuring process: takes one task from stdin, tells its results on stdout, and knows no server.

It is a process of its own so that renewing leases, sending and signals disturb no block, and so that all
memory of a job is given back when it ends.
"""

import gc
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TextIO

import torch
import uuid6

from lut_server.schemas import Contract, Measurement, Method, Runtime, Scalar
from profiler_agent.environment import NoDevice, find_device, inspect, open_gpu_monitor
from profiler_agent.messages import (
    TASK,
    Checked,
    Failed,
    Finished,
    Inspected,
    InspectTask,
    Measured,
    MeasureTask,
    Outdated,
    Preparing,
    RoundDone,
)
from profiler_agent.monitor import HostMonitor
from profiler_agent.procedure import METHOD_VERSION, caps_for, rule_for
from profiler_agent.references import references
from profiler_agent.rounds import Block, Result, RoundReport, Rounds
from profiler_agent.runtimes.mode import RuntimeMode, capabilities, open_mode
from profiler_agent.runtimes.pytorch import Unsupported
from profiler_agent.sampling import Sampler
from profiler_agent.timing.block import Execute, settle
from profiler_agent.workload import SpaceError, Workload, installed_spaces, workloads_of

Send = Callable[[Contract], None]


class Unmeasurable(Exception):
    """An operation or network that does not build or run here; the message names it."""


def main() -> None:
    """Do the task that stands on the first line of stdin; end with stdin, since then the agent is gone."""
    task = TASK.validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with, args=(sys.stdin,), daemon=True).start()
    send = _sender()
    try:
        if isinstance(task, InspectTask):
            _inspect(task, send)
        else:
            _measure(task, send)
    except (NoDevice, SpaceError, Unsupported, Unmeasurable) as error:
        send(Failed(error=str(error)[:4000]))
    send(Finished())


def _end_with(stdin: TextIO) -> None:
    stdin.read()
    os._exit(0)


def _sender() -> Send:
    """Messages go to what was stdout; whatever a library prints goes to stderr and cannot break a message."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(message: Contract) -> None:
        out.write(message.model_dump_json() + "\n")
        out.flush()

    return send


def _inspect(task: InspectTask, send: Send) -> None:
    torch_device = find_device(task.device)
    device, environment = inspect(torch_device)
    send(Inspected(torch_device=str(torch_device), device=device, environment=environment))
    if task.check:
        send(Checked(capabilities=tuple(capabilities(torch_device)), spaces=tuple(sorted(installed_spaces()))))


def _measure(task: MeasureTask, send: Send) -> None:
    torch_device = find_device(task.device)
    device, environment = inspect(torch_device)
    if environment.digest != task.environment:
        send(Outdated(environment=environment))
        return
    request = task.job.request
    runtime = _with_threads(task) if device.kind == "cpu" else request.runtime
    cores = _pin(runtime.threads) if device.kind == "cpu" else None
    mode = open_mode(runtime, torch_device)
    workloads = workloads_of(request, task.keys)

    is_network = request.network is not None
    caps = caps_for(device.kind, is_network)
    rule = rule_for(request.effort, caps, is_network)
    budget_s = request.effort.budget_s or caps.max_s * len(workloads)
    seed = secrets.randbits(32)
    settings: dict[str, Scalar] = {
        **mode.settings,
        "target_rel": rule.target_rel,
        "min_blocks": rule.min_blocks,
        "max_blocks": rule.max_blocks,
        "budget_s": budget_s,
        "block_ms": mode.clock.block_s * 1000,
        "band_rel": caps.band_rel,
        "seed": seed,
        "warm_up": "until steady, and a tenth of each block",
        "allocator": environment.allocator or "system",
        **({"cores": cores} if cores else {}),
    }
    gpu = open_gpu_monitor(device.uuid) if device.kind == "cuda" else None
    sampler = Sampler(mode.clock, HostMonitor(), gpu)

    with torch.inference_mode(), _no_collection():
        executions: dict[str, int] = {}
        takes: dict[str, Callable[[], Block]] = {}
        failures: list[str] = []
        for count, workload in enumerate(workloads):
            send(Preparing(done=count, total=len(workloads)))
            try:
                execute, executions[workload.key] = _prepare(workload, mode)
            except Unmeasurable as error:
                failures.append(str(error))
                continue
            takes[workload.key] = sampler.taker(execute, executions[workload.key])
        if not takes:
            raise Unmeasurable(_summary(failures, len(workloads)))
        reference_takes = {}
        for name, (module, shapes) in references(torch_device).items():
            execute = mode.prepare(module, shapes)
            reference_takes[name] = sampler.taker(execute, settle(mode.clock, execute))
        rounds = Rounds(
            takes,
            reference_takes,
            rule,
            band_rel=caps.band_rel,
            seed=seed,
            budget_s=budget_s,
        )
        for news in rounds.run():
            if isinstance(news, RoundReport):
                gc.collect()
                send(RoundDone(number=news.number, repeated=news.repeated, open=news.open))
                continue
            labels = gpu.labels() if gpu else {}
            for result in news:
                method = Method(version=METHOD_VERSION, settings=tuple({**settings, **labels}.items()))
                send(Measured(measurement=_measurement(task, device.uuid, result, executions[result.key], method)))
    if failures:
        raise Unmeasurable(_summary(failures, len(workloads)))


def _measurement(task: MeasureTask, device: str, result: Result, executions: int, method: Method) -> Measurement:
    return Measurement(
        id=uuid6.uuid7(),
        job_id=task.job.id,
        key=result.key,
        device=device,
        environment=task.environment,
        runtime=task.job.request.runtime,
        method=method,
        samples_us=result.samples_us,
        executions_per_block=executions,
        quality=result.quality,
        measured_at=datetime.now(timezone.utc),
    )


def _prepare(workload: Workload, mode: RuntimeMode) -> tuple[Execute, int]:
    try:
        execute = mode.prepare(workload.build(), workload.input_shapes)
        return execute, settle(mode.clock, execute)
    except (ValueError, TypeError, RuntimeError, LookupError, NotImplementedError, MemoryError) as error:
        # The space's code is not ours: whatever it raises is an answer to the job, not a crash of the agent.
        raise Unmeasurable(f"{workload.label}: {type(error).__name__}: {error}") from error


def _summary(failures: list[str], total: int) -> str:
    return f"{len(failures)} of {total} keys cannot be measured: " + "; ".join(failures)


def _with_threads(task: MeasureTask) -> Runtime:
    runtime = task.job.request.runtime
    return runtime if runtime.threads else runtime.model_copy(update={"threads": task.threads})


def _pin(threads: int | None) -> str:
    """Keep this process to the last `threads` of its cores (interrupts favour the first); name its cores."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned"
    cores = sorted(os.sched_getaffinity(0))
    if threads and threads < len(cores):
        cores = cores[-threads:]
        os.sched_setaffinity(0, cores)
    return ",".join(map(str, cores))


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


if __name__ == "__main__":
    main()
