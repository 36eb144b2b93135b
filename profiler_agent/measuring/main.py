"""The measuring process: takes one task from stdin, tells its results on stdout, and knows no server.

It is a process of its own so that renewing leases, sending and signals disturb no block, and so that all
memory of a job is given back when it ends.
"""

import gc
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, TextIO

import torch
import uuid6

from latency_tables.contract import (
    Contract,
    Costs,
    Device,
    Environment,
    Measurement,
    Method,
    Observed,
    Quality,
    Runtime,
    Scalar,
)
from profiler_agent.machine.clocks import read_cpu_clocks
from profiler_agent.machine.environment import NoDevice, find_device, inspect, open_gpu_monitor
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.measuring.costs import costs_of
from profiler_agent.measuring.estimate import Normalized, normalize, standard_of
from profiler_agent.measuring.noise import noise_rel
from profiler_agent.measuring.procedure import METHOD_VERSION, PROCESSES, READINGS_PER_BLOCK, caps_for, rule_for
from profiler_agent.measuring.references import WATCHED, references
from profiler_agent.measuring.rounds import RoundReport, Rounds, Take
from profiler_agent.measuring.stopping import StoppingRule, is_converged
from profiler_agent.measuring.watching import watch_references
from profiler_agent.measuring.workbench import ContextBroken, Unmeasurable
from profiler_agent.measuring.worker import LocalWorker, RemoteWorker, Worker, WorkerDied, work
from profiler_agent.measuring.workload import SpaceError, Workload, installed_spaces, workloads_of
from profiler_agent.messages import (
    TASK,
    Checked,
    Failed,
    Finished,
    Gone,
    Inspected,
    InspectTask,
    Measured,
    MeasureTask,
    NoiseTask,
    Outdated,
    Preparing,
    RoundDone,
    Standard,
    WorkTask,
)
from profiler_agent.runtimes.mode import capabilities, open_mode
from profiler_agent.runtimes.pytorch import DTYPES, Unsupported

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
        elif isinstance(task, NoiseTask):
            _watch(task, send)
        else:
            _measure(task, send)
    except NoDevice as error:
        send(Gone(error=str(error)[:4000]))
    except (SpaceError, Unsupported, Unmeasurable, ContextBroken, WorkerDied) as error:
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


def _watch(task: NoiseTask, send: Send) -> None:
    torch_device = find_device(task.device)
    device, environment = inspect(torch_device)
    send(Inspected(torch_device=str(torch_device), device=device, environment=environment))
    runtime = Runtime(threads=task.threads if device.kind == "cpu" else None)
    gpu = open_gpu_monitor(device.uuid) if device.kind == "cuda" else None
    machine = Machine(device, environment, gpu)
    names = list(references(torch.device(device.kind)))
    work_task = WorkTask(device=str(torch_device), request=None, runtime=runtime, keys=())
    with torch.inference_mode(), _no_collection(), _workers(work_task, gpu, send) as workers:
        clock = open_mode(runtime, torch_device).clock
        noise = watch_references(
            workers, names, clock, task.seconds, task.threads, lambda: machine.observed("reference-arithmetic")
        )
    send(noise)


def _measure(task: MeasureTask, send: Send) -> None:
    torch_device = find_device(task.device)
    device, environment = inspect(torch_device)
    if environment.digest != task.environment:
        send(Outdated(environment=environment))
        return
    request = task.job.request
    runtime = _with_threads(task) if device.kind == "cpu" else request.runtime
    workloads = workloads_of(request, task.keys)
    gpu = open_gpu_monitor(device.uuid) if device.kind == "cuda" else None
    work_task = WorkTask(device=task.device, request=request, runtime=runtime, keys=task.keys)
    with torch.inference_mode(), _no_collection(), _workers(work_task, gpu, send) as workers:
        # While the workers are building, which takes them longer.
        costs = _costs(workloads, DTYPES.get(runtime.precision, torch.float32))
        _measure_with(workers, task, Machine(device, environment, gpu), costs, send)


class Machine(NamedTuple):
    device: Device
    environment: Environment
    gpu: GpuMonitor | None

    def observed(self, name: str) -> Observed:
        """The state of the device over the blocks of a workload or reference."""
        return self.gpu.observed(name) if self.gpu else Observed(clocks=read_cpu_clocks().state)


def _measure_with(
    workers: list[Worker], task: MeasureTask, machine: Machine, costs: Mapping[str, Costs], send: Send
) -> None:
    request = task.job.request
    is_network = bool(request.networks)
    caps = caps_for(machine.device.kind, is_network)
    rule = rule_for(request.effort, caps, is_network)
    failures = {key: error for worker in workers for key, error in worker.ready.failures.items()}
    keys = [key for key in task.keys if key not in failures]
    if not keys:
        raise Unmeasurable(_summary(failures, len(task.keys)))
    told = references(torch.device(machine.device.kind))
    executions = {key: workers[0].settle(key) for key in keys}
    executions.update((name, max(1, workers[0].settle(name) // READINGS_PER_BLOCK)) for name in told)

    def taker(name: str) -> Take:
        return lambda process: workers[process].take(name, executions[name])

    budget_s = request.effort.budget_s or caps.max_s * len(task.keys)
    seed = secrets.randbits(32)
    built = workers[0].ready.settings
    settings: dict[str, Scalar] = {
        **built,
        "context": "alone" if is_network else built.get("context", "alone"),
        "target_rel": rule.target_rel,
        "min_blocks": rule.min_blocks,
        "first_look": rule.first_look,
        "max_blocks": rule.max_blocks,
        "budget_s": budget_s,
        "band_rel": caps.band_rel,
        "seed": seed,
        "processes": len(workers),
        "warm_up": "until as fast as recent blocks, at most six times a tenth of a block",
        "allocator": machine.environment.allocator or "system",
    }
    rounds = Rounds(
        {key: taker(key) for key in keys},
        {name: taker(name) for name in told},
        rule,
        band_rel=caps.band_rel,
        watched=WATCHED,
        cadence={name: reference.every for name, reference in told.items()},
        seed=seed,
        processes=len(workers),
        frugal=request.effort.budget_s is not None,
        budget_s=budget_s,
    )
    standard = task.standard
    sensitivities = {name: one.sensitivity for name, one in told.items() if one.sensitivity is not None}
    for news in rounds.run():
        if isinstance(news, RoundReport):
            for worker in workers:
                worker.collect()
            send(RoundDone(number=news.number, repeated=news.repeated, open=news.open))
            continue
        trace = rounds.trace()
        if standard is None or standard.keys() != told.keys():
            standard = standard_of(trace)
            send(Standard(references=standard))
        normalized = normalize(trace, standard, sensitivities, {result.key for result in news})
        method = Method(version=METHOD_VERSION, settings=tuple(settings.items()))
        scatter = {"noise_rel": noise_rel(trace)}
        for result in news:
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
                quality=_judged(result.quality, normalized[result.key], rule),
                normalized_us=normalized[result.key].latency_us,
                device_us=workers[0].device_us(result.key, executions[result.key]),
                costs=costs.get(result.key),
                observed=machine.observed(result.key).model_copy(update=scatter),
                measured_at=datetime.now(timezone.utc),
            )
            send(Measured(measurement=measurement))
    if task.trace is not None:
        rounds.trace().save(Path(task.trace) / f"{task.job.id}.npz")
    if failures:
        raise Unmeasurable(_summary(failures, len(task.keys)))


def _judged(quality: Quality, normalized: Normalized, rule: StoppingRule) -> Quality:
    """What the budget cut off has converged all the same if its blocks have where the machine's drift is taken out."""
    converged = quality.converged or is_converged(normalized.blocks_us, rule.target_rel)
    return quality.model_copy(update={"converged": converged})


@contextmanager
def _workers(task: WorkTask, gpu: GpuMonitor | None, send: Send) -> Iterator[list[Worker]]:
    """One worker on a GPU; on a CPU several, each a process: pages land differently in each of them."""
    total = len(task.keys)
    if torch.device(task.device).type == "cuda":
        yield [LocalWorker(task, gpu, lambda key, done: send(Preparing(key=key, done=done, total=total)))]
        return
    open_mode(task.runtime, torch.device("cpu"))  # refuses here what no worker could do
    remote: list[RemoteWorker] = []
    try:
        shared = {"exports": tempfile.mkdtemp(prefix="exports-"), "turns": PROCESSES}
        # All build the same; the first one's progress is the job's.
        remote.extend(
            RemoteWorker(task.model_copy(update={**shared, "turn": turn}), None if turn else send)
            for turn in range(PROCESSES)
        )
        yield list(remote)
    finally:
        for worker in remote:
            worker.close()


def _costs(workloads: list[Workload], dtype: torch.dtype) -> dict[str, Costs]:
    """Of every key whose module runs on shapes alone; the others have none."""
    found = {}
    for workload in workloads:
        # The space's code is not ours; what it raises when it is measured is the answer to the job.
        with suppress(Exception), torch.inference_mode():
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
