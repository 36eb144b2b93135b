"""The noise of a machine: blocks of the references and nothing else, how far they scatter, and what the host did."""

import random
import time
from collections.abc import Callable, Mapping

import numpy as np

from latency_tables.contract import Runtime
from profiler_agent.machine.environment import Machine
from profiler_agent.machine.host_monitor import HostMonitor, HostReading
from profiler_agent.machine.quota import Quota, read_quota
from profiler_agent.measuring.references import references
from profiler_agent.measuring.rounds import Take
from profiler_agent.measuring.trace import Entry, Flags, Floats, Trace
from profiler_agent.measuring.workers import open_workers, takes_of
from profiler_agent.messages import Noise, NoiseTask, ReferenceNoise
from profiler_agent.orders import WorkTask
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.timing.block import Clock

LEAST_ROUNDS = 6
CLOCK_READINGS = 200


def watch_references(task: NoiseTask, machine: Machine) -> Noise:
    """Take blocks of the references for `task.seconds`, in workers that are pinned to the same `task.threads` cores.

    Raises JobFailed or AgentMustStop.
    """
    runtime = Runtime(threads=task.threads if machine.device.kind == "cpu" else None)
    names = list(references(machine.torch_device))
    work_task = WorkTask(device=str(machine.torch_device), request=None, runtime=runtime, keys=())
    with open_workers(work_task, machine.gpu, lambda _: None) as workers:
        for worker in workers:
            _ = worker.ready  # none builds while blocks are taken
        takes = takes_of(workers, {name: workers[0].settle(name) for name in names})
        clock = open_mode(runtime, machine.torch_device).clock
        host = HostMonitor()
        quota_before = read_quota()
        machine_before, before = host.read_machine(), [worker.read_host() for worker in workers]
        started_s = time.monotonic()
        trace = take_rounds(takes, len(workers), task.seconds)
        duration_s = time.monotonic() - started_s
        after, machine_after = [worker.read_host() for worker in workers], host.read_machine()
        quota = read_quota()
        step_s, cost_s = clock_step_and_cost_s(clock)

    def spent(total: Callable[[HostReading], float]) -> float:
        return sum(total(later) - total(earlier) for earlier, later in zip(before, after, strict=True))

    is_wait_known = all(reading.wait_s is not None for reading in (*before, *after))
    others_cores = None
    if machine_before and machine_after:
        busy_s = machine_after.busy_s - machine_before.busy_s
        others_cores = max(0.0, busy_s - spent(lambda reading: reading.cpu_s)) / duration_s
    return Noise(
        seconds=duration_s,
        processes=len(workers),
        references=reference_noise(trace),
        clock_step_s=step_s,
        clock_cost_s=cost_s,
        block_s=clock.block_s,
        # All are on the same cores, so one of them sees all steal.
        steal_share=(after[0].steal_s - before[0].steal_s) / duration_s / task.threads,
        wait_share=spent(lambda reading: reading.wait_s or 0.0) / duration_s / task.threads if is_wait_known else None,
        involuntary_switches=int(spent(lambda reading: reading.involuntary_switches)),
        quota_cores=quota.cores if quota else None,
        throttled_share=_throttled_share(quota_before, quota, duration_s),
        others_cores=others_cores,
        cores=machine_after.cores if machine_after else None,
        observed=machine.observed("reference-arithmetic"),
    )


def _throttled_share(before: Quota | None, after: Quota | None, duration_s: float) -> float | None:
    """The share of the time that a quota stopped this group of processes; None where that is not known."""
    if before is None or after is None or before.throttled_s is None or after.throttled_s is None:
        return None
    return min(1.0, (after.throttled_s - before.throttled_s) / duration_s)


def take_rounds(takes: Mapping[str, Take], processes: int, seconds: float) -> Trace:
    """Rounds in random order, over processes in turn, for so long (at least LEAST_ROUNDS in each process)."""
    order = random.Random(0)
    entries: list[Entry] = []
    started_s = time.monotonic()
    number = 0
    while number < LEAST_ROUNDS * processes or time.monotonic() - started_s < seconds:
        visits = list(takes.items())
        order.shuffle(visits)
        process = number % processes
        for name, take in visits:
            block = take(process)
            at_s = time.monotonic() - started_s
            entries.append(Entry(name, number, process, at_s, block.latency_us, block.doubt, kept=True))
        number += 1
    return Trace.of((), tuple(takes), entries)


def clock_step_and_cost_s(clock: Clock) -> tuple[float, float]:
    """The smallest difference between two readings of a clock for an empty block, and their median; seconds."""
    readings = np.array([clock.time_s(lambda: None, 1) for _ in range(CLOCK_READINGS)])
    steps = np.diff(np.unique(readings))
    return float(steps.min()) if len(steps) else 0.0, float(np.median(readings))


def scatter_rel(latency_us: Floats) -> float:
    """The interquartile range of readings, relative to their median."""
    low, middle, high = np.quantile(latency_us, [0.25, 0.5, 0.75])
    return float((high - low) / middle)


def noise_rel(trace: Trace) -> float | None:
    """The scatter over rounds (median reading each) of the reference that scattered most; None without references."""
    return max((scatter_rel(_by_round(trace, name)) for name in trace.reference_names), default=None)


def reference_noise(trace: Trace) -> tuple[ReferenceNoise, ...]:
    """For each reference, how it scattered within a process (median over them) and between their medians."""
    return tuple(_reference_noise(trace, name) for name in trace.reference_names)


def _reference_noise(trace: Trace, name: str) -> ReferenceNoise:
    mine = _is_of(trace, name)
    by_process = [trace.latency_us[mine & (trace.process == process)] for process in np.unique(trace.process[mine])]
    medians = [float(np.median(readings)) for readings in by_process]
    return ReferenceNoise(
        name=name,
        blocks=int(mine.sum()),
        disturbed=int((mine & trace.doubtful).sum()),
        median_us=float(np.median(trace.latency_us[mine])),
        between_blocks_rel=float(np.median([scatter_rel(readings) for readings in by_process])),
        between_processes_rel=(max(medians) - min(medians)) / float(np.median(medians)),
    )


def _is_of(trace: Trace, name: str) -> Flags:
    return np.asarray(trace.name == trace.names.index(name))


def _by_round(trace: Trace, name: str) -> Floats:
    mine = _is_of(trace, name)
    rounds, readings = trace.round[mine], trace.latency_us[mine]
    return np.array([np.median(readings[rounds == number]) for number in np.unique(rounds)])
