"""Blocks of the references and nothing else, for some seconds, and what the host did meanwhile."""

import random
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from latency_tables.contract import Observed
from profiler_agent.machine.host_monitor import HostMonitor, HostReading
from profiler_agent.measuring.noise import reference_noise
from profiler_agent.measuring.rounds import Take
from profiler_agent.measuring.trace import Entry, Trace
from profiler_agent.measuring.worker import Worker
from profiler_agent.messages import Noise
from profiler_agent.timing.block import Clock

LEAST_ROUNDS = 6
CLOCK_READINGS = 200


def watch_references(
    workers: Sequence[Worker],
    names: Sequence[str],
    clock: Clock,
    seconds: float,
    threads: int,
    observed: Callable[[], Observed],
) -> Noise:
    """Take blocks of references that all workers have ready, all of them pinned to the same `threads` cores.

    Raises NoDevice or WorkerDied.
    """
    for worker in workers:
        worker.look()  # answers once it is built: none builds while blocks are taken
    executions = {name: workers[0].settle(name) for name in names}

    def taker(name: str) -> Take:
        return lambda process: workers[process].take(name, executions[name])

    machine = HostMonitor()
    machine_before, before = machine.read_machine(), [worker.look() for worker in workers]
    started = time.monotonic()
    trace = take_rounds({name: taker(name) for name in names}, len(workers), seconds)
    duration_s = time.monotonic() - started
    after, machine_after = [worker.look() for worker in workers], machine.read_machine()
    step_s, cost_s = clock_step_and_cost_s(clock)

    def spent(of: Callable[[HostReading], float]) -> float:
        return sum(of(later) - of(earlier) for earlier, later in zip(before, after, strict=True))

    wait_known = all(reading.wait_s is not None for reading in (*before, *after))
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
        # All are on the same cores, so one of them sees it all.
        steal_share=(after[0].steal_s - before[0].steal_s) / duration_s / threads,
        wait_share=spent(lambda reading: reading.wait_s or 0.0) / duration_s / threads if wait_known else None,
        involuntary_switches=int(spent(lambda reading: reading.involuntary_switches)),
        others_cores=others_cores,
        cores=machine_after.cores if machine_after else None,
        observed=observed(),
    )


def take_rounds(takes: Mapping[str, Take], processes: int, seconds: float) -> Trace:
    """Rounds in random order, over processes in turn, for so long (some in each process at least)."""
    order = random.Random(0)
    entries: list[Entry] = []
    started = time.monotonic()
    number = 0
    while number < LEAST_ROUNDS * processes or time.monotonic() - started < seconds:
        visits = list(takes.items())
        order.shuffle(visits)
        process = number % processes
        for name, take in visits:
            block = take(process)
            at_s = time.monotonic() - started
            entries.append(Entry(name, number, process, at_s, block.latency_us, block.doubt, kept=True))
        number += 1
    return Trace.of((), tuple(takes), entries)


def clock_step_and_cost_s(clock: Clock) -> tuple[float, float]:
    """The smallest difference between two readings of a clock for an empty block, and their median; seconds."""
    readings = np.array([clock.time_s(lambda: None, 1) for _ in range(CLOCK_READINGS)])
    steps = np.diff(np.unique(readings))
    return float(steps.min()) if len(steps) else 0.0, float(np.median(readings))
