"""The main task of the measuring process: the keys of a job, measured in rounds and sent as they leave them."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch
import uuid6

from latency_tables.contract import Anchor, Measurement, Method, NetworkSpec, Runtime, Scalar
from profiler_agent.errors import AgentMustStop, JobFailed, Unmeasurable
from profiler_agent.machine.environment import Machine
from profiler_agent.measuring.anchor import EVERY, anchor_for, kind_of, name_of
from profiler_agent.measuring.costs import Counted, counted
from profiler_agent.measuring.estimate import Follow, Normalized, learned, normalize
from profiler_agent.measuring.guard import settings_kept
from profiler_agent.measuring.noise import noise_rel
from profiler_agent.measuring.pipe import Send
from profiler_agent.measuring.policy import Policy, Result, StoppingRule
from profiler_agent.measuring.procedure import (
    METHOD_VERSION,
    NETWORK_ESTIMATE,
    NETWORK_PROCESSES,
    OPERATION_ESTIMATE,
    PROCESSES,
    READINGS_PER_BLOCK,
    doubt_rel,
    rule_for,
)
from profiler_agent.measuring.reasons import summary
from profiler_agent.measuring.references import WATCHED, references
from profiler_agent.measuring.rounds import RoundReport, Rounds
from profiler_agent.measuring.trace import Trace
from profiler_agent.measuring.worker import Worker
from profiler_agent.measuring.workers import open_workers, takes_of
from profiler_agent.measuring.workload import Workload, say_on_stderr, workloads_of
from profiler_agent.messages import MeasureTask, NewMeasurement, NewStandard, RoundDone, Standard
from profiler_agent.orders import WorkTask
from profiler_agent.runtimes.modes.pytorch import DTYPES


def measure(task: MeasureTask, machine: Machine, send: Send) -> None:
    """Send a NewMeasurement for every key that can be measured.

    Raises:
        AgentMustStop: the environment is not the one that the agent registered, or the GPU fails.
        JobFailed: the job cannot be done here, or some of its keys cannot be measured; it names them.
    """
    began_s = time.monotonic()
    request = task.job.request
    if machine.environment.of_mode(request.runtime.mode).digest != task.environment:
        raise AgentMustStop("the device's software or settings changed while the agent ran")
    runtime = _with_threads(request.runtime, task.threads) if machine.device.kind == "cpu" else request.runtime
    anchor = anchor_for(request, task.standard.anchors)
    workloads = workloads_of(request, task.keys)
    work_task = WorkTask(device=task.device, request=request, runtime=runtime, keys=task.keys, anchor=anchor)
    processes = NETWORK_PROCESSES if request.networks else PROCESSES
    with open_workers(work_task, machine.gpu, send, processes) as workers:
        # While the workers are building, which takes them longer.
        counts = _counted(workloads, DTYPES.get(runtime.precision, torch.float32))
        _measure_with(workers, task, machine, anchor, counts, send, began_s)


def _measure_with(
    workers: Sequence[Worker],
    task: MeasureTask,
    machine: Machine,
    anchor: NetworkSpec | None,
    counts: Mapping[str, Counted],
    send: Send,
    began_s: float,
) -> None:
    executions, failures = _settle(workers, task.keys)
    if not executions:
        raise JobFailed(summary(failures, len(task.keys)))
    effort, is_network = task.job.request.effort, bool(task.job.request.networks)
    rule = rule_for(effort, machine.device.kind, is_network=is_network, keys=len(task.keys))
    settings = settings_of(workers, machine, rule, seed=secrets.randbits(32), anchor=anchor)
    # A budget that somebody asked for is one for the whole job, building included.
    spent_s = 0.0 if effort.budget_s is None else time.monotonic() - began_s
    rounds = _rounds(workers, executions, machine, anchor, rule, seed=int(settings["seed"]), spent_s=spent_s)
    allowed_rel = doubt_rel(effort, machine.device.kind, is_network=is_network)
    settings["doubt_rel"] = allowed_rel
    run = _Run(task, machine, workers, executions, allowed_rel, settings, counts, _follow(machine, anchor), anchor)
    standard = task.standard
    for news in rounds.run():
        if isinstance(news, RoundReport):
            for worker in workers:
                worker.collect_garbage()
            send(RoundDone(number=news.number, repeated=news.repeated, open=news.open, share=news.share))
            continue
        trace = rounds.trace()
        readings = learned(standard.readings, trace, run.follow)
        if readings != standard.readings:
            anchors = {kind_of(anchor): anchor} if anchor else {}
            standard = Standard(readings=readings, anchors={**anchors, **standard.anchors})
            send(NewStandard(standard=standard))
        for measurement in run.measurements_of(news, trace, standard.readings):
            send(NewMeasurement(measurement=measurement))
    if task.trace is not None:
        rounds.trace().save(Path(task.trace) / f"{task.job.id}.npz")
    failures |= rounds.failures
    if failures:
        raise JobFailed(summary(failures, len(task.keys)))


def _follow(machine: Machine, anchor: NetworkSpec | None) -> Follow:
    """How a job's blocks are brought to the standard state."""
    if anchor:
        return Follow({name_of(anchor.digest): 1.0}, **NETWORK_ESTIMATE)
    sensitivities = {
        name: reference.sensitivity
        for name, reference in references(machine.torch_device).items()
        if reference.sensitivity is not None
    }
    return Follow(sensitivities, **OPERATION_ESTIMATE)


def settings_of(
    workers: Sequence[Worker], machine: Machine, rule: StoppingRule, *, seed: int, anchor: NetworkSpec | None
) -> dict[str, Scalar]:
    """What the method of every measurement of a job says beside its version."""
    by_mode = workers[0].ready.settings
    of_anchor: dict[str, Scalar] = {"context": "alone", "anchor": anchor.digest} if anchor else {}
    return {
        "context": "alone",
        **by_mode,
        **of_anchor,
        **rule.settings,
        "seed": seed,
        "processes": len(workers),
        "warm_up": "until as fast as recent blocks: six times a tenth of a block, or 0.3 s, at most",
        "allocator": machine.environment.allocator or "system",
    }


@dataclass(frozen=True)
class _Run:
    """What all measurements of a job share. `executions`: so many make a block, by key."""

    task: MeasureTask
    machine: Machine
    workers: Sequence[Worker]
    executions: Mapping[str, int]
    doubt_rel: float
    settings: Mapping[str, Scalar]
    counted: Mapping[str, Counted]
    follow: Follow
    anchor: NetworkSpec | None

    def measurements_of(
        self, results: Sequence[Result], trace: Trace, standard: Mapping[str, float]
    ) -> Iterator[Measurement]:
        """The measurements of workloads that left the rounds, normalized to the `standard` state."""
        normalized = normalize(trace, standard, self.follow, {result.key for result in results})
        scatter_rel = noise_rel(trace)
        anchor = None
        if self.anchor is not None:
            anchor = Anchor(network=self.anchor.digest, standard_us=standard[name_of(self.anchor.digest)])
        for result in results:
            yield self._measurement_of(result, normalized[result.key], anchor, scatter_rel)

    def _measurement_of(
        self, result: Result, normalized: Normalized, anchor: Anchor | None, scatter_rel: float | None
    ) -> Measurement:
        key, executions = result.key, self.executions[result.key]
        counts = self.counted.get(key)
        # By the interval of what is served, which knows the machine's drift and its processes: the blocks' own scatter
        # only says when to stop.
        converged = normalized.half_width_rel <= self.doubt_rel
        return Measurement(
            id=uuid6.uuid7(),
            job_id=self.task.job.id,
            key=key,
            device=self.machine.device.uuid,
            environment=self.task.environment,
            runtime=self.task.job.request.runtime,
            method=Method(version=METHOD_VERSION, settings=tuple(self.settings.items())),
            samples_us=result.samples_us,
            executions_per_block=executions,
            quality=result.quality.model_copy(
                update={"converged": converged, "noisy": result.quality.noisy and not converged}
            ),
            normalized_us=normalized.latency_us,
            normalized_low_us=normalized.low_us,
            normalized_high_us=normalized.high_us,
            device_us=self.workers[0].device_us(key, executions),
            costs=counts and counts.costs,
            work=counts and counts.work,
            kernels=self.workers[0].ready.kernels.get(key),
            anchor=anchor,
            observed=self.machine.observed(key).model_copy(update={"noise_rel": scatter_rel}),
            measured_at=datetime.now(timezone.utc),
        )


def _settle(workers: Sequence[Worker], keys: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    """The executions that make a block, by key; and of the keys that do not build or run, why not."""
    failures = {key: error for worker in workers for key, error in worker.ready.failures.items()}
    executions = {}
    for key in keys:
        if key not in failures:
            try:
                executions[key] = workers[0].settle(key)
            except Unmeasurable as error:
                failures[key] = str(error)
    return executions, failures


def _rounds(
    workers: Sequence[Worker],
    executions: Mapping[str, int],
    machine: Machine,
    anchor: NetworkSpec | None,
    rule: StoppingRule,
    *,
    seed: int,
    spent_s: float,
) -> Rounds:
    by_name = references(machine.torch_device)
    cadence = {name: reference.every for name, reference in by_name.items()}
    takes = takes_of(workers, {name: _reading(workers[0], name) for name in by_name})
    if anchor:
        cadence[name_of(anchor.digest)] = EVERY
        takes[name_of(anchor.digest)] = takes_of(workers, {anchor.digest: _anchor_reading(workers[0], anchor)})[
            anchor.digest
        ]
    return Rounds(
        takes_of(workers, executions),
        takes,
        Policy(rule, executions, WATCHED),
        cadence=cadence,
        seed=seed,
        processes=len(workers),
        spent_s=spent_s,
    )


def _reading(worker: Worker, name: str) -> int:
    """The executions of a reading."""
    return max(1, worker.settle(name) // READINGS_PER_BLOCK)


def _anchor_reading(worker: Worker, anchor: NetworkSpec) -> int:
    try:
        return _reading(worker, anchor.digest)
    except (Unmeasurable, KeyError) as error:
        reason = worker.ready.failures.get(anchor.digest, str(error))
        raise JobFailed(f"the anchor that networks are measured beside cannot be: {reason}") from error


def _counted(workloads: Sequence[Workload], dtype: torch.dtype) -> dict[str, Counted]:
    """Of every key whose module runs on shapes alone; the others have none."""
    counts = {}
    for workload in workloads:
        # The space's code is not ours; what it raises when it is measured is the answer to the job.
        building = settings_kept(f"building {workload.label}", say_on_stderr)
        with suppress(Exception, SystemExit), torch.inference_mode(), building:
            counts[workload.key] = counted(workload.build(), workload.input_shapes, dtype)
    return counts


def _with_threads(runtime: Runtime, threads: int | None) -> Runtime:
    return runtime if runtime.threads else runtime.model_copy(update={"threads": threads})
