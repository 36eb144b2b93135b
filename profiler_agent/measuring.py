"""The measuring process: takes one task from stdin, tells its results on stdout, and knows no server.

It is a process of its own so that renewing leases, sending and signals disturb no block, and so that all
memory of a job is given back when it ends.
"""

import gc
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, TextIO

import torch
import uuid6

from lut_server.schemas import Contract, Costs, Device, Environment, Measurement, Method, Runtime, Scalar
from profiler_agent.costs import costs_of
from profiler_agent.environment import NoDevice, find_device, inspect, open_gpu_monitor
from profiler_agent.estimate import estimate, standard_of
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
    Standard,
    WorkTask,
)
from profiler_agent.monitor import GpuMonitor
from profiler_agent.procedure import METHOD_VERSION, PROCESSES, caps_for, rule_for
from profiler_agent.references import WATCHED, references
from profiler_agent.rounds import RoundReport, Rounds, Take
from profiler_agent.runtimes.mode import capabilities, open_mode
from profiler_agent.runtimes.pytorch import DTYPES, Unsupported
from profiler_agent.workbench import Unmeasurable
from profiler_agent.worker import LocalWorker, RemoteWorker, Worker, WorkerDied, work
from profiler_agent.workload import SpaceError, Workload, installed_spaces, workloads_of

Send = Callable[[Contract], None]


def main() -> None:
    """Do the task that stands on the first line of stdin; end with stdin, since then the agent is gone."""
    task = TASK.validate_json(sys.stdin.readline())
    send = _sender()
    if isinstance(task, WorkTask):
        work(task, sys.stdin, send)
        return
    threading.Thread(target=_end_with, args=(sys.stdin,), daemon=True).start()
    try:
        if isinstance(task, InspectTask):
            _inspect(task, send)
        else:
            _measure(task, send)
    except (NoDevice, SpaceError, Unsupported, Unmeasurable, WorkerDied) as error:
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
    costs = _costs(workloads_of(request, task.keys), DTYPES.get(runtime.precision, torch.float32))
    gpu = open_gpu_monitor(device.uuid) if device.kind == "cuda" else None
    work_task = WorkTask(device=task.device, request=request, runtime=runtime, keys=task.keys)
    with torch.inference_mode(), _no_collection(), _workers(work_task, gpu, send) as workers:
        _measure_with(workers, task, Machine(device, environment, gpu), costs, send)


class Machine(NamedTuple):
    device: Device
    environment: Environment
    gpu: GpuMonitor | None


def _measure_with(
    workers: list[Worker], task: MeasureTask, machine: Machine, costs: Mapping[str, Costs], send: Send
) -> None:
    request = task.job.request
    is_network = request.network is not None
    caps = caps_for(machine.device.kind, is_network)
    rule = rule_for(request.effort, caps, is_network)
    failures = {key: error for worker in workers for key, error in worker.ready.failures.items()}
    keys = [key for key in task.keys if key not in failures]
    if not keys:
        raise Unmeasurable(_summary(failures, len(task.keys)))
    names = list(references(torch.device(machine.device.kind)))
    executions = {name: workers[0].settle(name) for name in (*keys, *names)}

    def taker(name: str) -> Take:
        return lambda process: workers[process].take(name, executions[name])

    budget_s = request.effort.budget_s or caps.max_s * len(task.keys)
    seed = secrets.randbits(32)
    settings: dict[str, Scalar] = {
        **workers[0].ready.settings,
        "target_rel": rule.target_rel,
        "min_blocks": rule.min_blocks,
        "max_blocks": rule.max_blocks,
        "budget_s": budget_s,
        "band_rel": caps.band_rel,
        "seed": seed,
        "processes": len(workers),
        "warm_up": "until steady, and a tenth of each block",
        "allocator": machine.environment.allocator or "system",
    }
    rounds = Rounds(
        {key: taker(key) for key in keys},
        {name: taker(name) for name in names},
        rule,
        band_rel=caps.band_rel,
        watched=WATCHED,
        seed=seed,
        processes=len(workers),
        frugal=request.effort.budget_s is not None,
        budget_s=budget_s,
    )
    standard = task.standard
    for news in rounds.run():
        if isinstance(news, RoundReport):
            for worker in workers:
                worker.collect()
            send(RoundDone(number=news.number, repeated=news.repeated, open=news.open))
            continue
        trace = rounds.trace()
        if standard is None:
            standard = standard_of(trace)
            send(Standard(references=standard))
        normalized_us = estimate(trace, standard)
        labels = machine.gpu.labels() if machine.gpu else {}
        for result in news:
            method = Method(version=METHOD_VERSION, settings=tuple({**settings, **labels}.items()))
            measurement = Measurement(
                id=uuid6.uuid7(),
                job_id=task.job.id,
                key=result.key,
                device=machine.device.uuid,
                environment=task.environment,
                runtime=request.runtime,
                method=method,
                samples_us=result.samples_us,
                executions_per_block=executions[result.key],
                quality=result.quality,
                normalized_us=normalized_us[result.key],
                costs=costs.get(result.key),
                measured_at=datetime.now(timezone.utc),
            )
            send(Measured(measurement=measurement))
    if task.trace is not None:
        rounds.trace().save(Path(task.trace) / f"{task.job.id}.npz")
    if failures:
        raise Unmeasurable(_summary(failures, len(task.keys)))


@contextmanager
def _workers(task: WorkTask, gpu: GpuMonitor | None, send: Send) -> Iterator[list[Worker]]:
    """One worker on a GPU; on a CPU several, each a process: pages land differently in each of them."""
    total = len(task.keys)
    if torch.device(task.device).type == "cuda":
        yield [LocalWorker(task, gpu, lambda done: send(Preparing(done=done, total=total)))]
        return
    open_mode(task.runtime, torch.device("cpu"))  # refuses here what no worker could do
    remote: list[RemoteWorker] = []
    try:
        send(Preparing(done=0, total=total))
        remote.extend(RemoteWorker(task) for _ in range(PROCESSES))
        yield list(remote)
    finally:
        for worker in remote:
            worker.close()


def _costs(workloads: list[Workload], dtype: torch.dtype) -> dict[str, Costs]:
    """Of every key whose module runs on shapes alone; the others have none."""
    found = {}
    for workload in workloads:
        # The space's code is not ours; what it raises when it is measured is the answer to the job.
        with suppress(ValueError, TypeError, RuntimeError, LookupError), torch.inference_mode():
            found[workload.key] = costs_of(workload.build(), workload.input_shapes, dtype)
    return found


def _summary(failures: Mapping[str, str], total: int) -> str:
    return f"{len(failures)} of {total} keys cannot be measured: " + "; ".join(failures.values())


def _with_threads(task: MeasureTask) -> Runtime:
    runtime = task.job.request.runtime
    return runtime if runtime.threads else runtime.model_copy(update={"threads": task.threads})


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
