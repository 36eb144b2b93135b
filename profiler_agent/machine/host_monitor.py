"""What disturbs a block on the host: steal and waiting for a core (/proc)."""

import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from profiler_agent.doubt import Doubt

DISTURBED_SHARE = 0.02
STEAL_FIELD = 8  # of a cpu line in /proc/stat: proc(5)
BUSY_FIELDS = (1, 2, 3, 6, 7)  # user (with guests), nice, system, irq, softirq


class HostReading(NamedTuple):
    """Running totals: steal of this process's cores; waiting for one, involuntary switches and CPU time of its threads.

    `wait_s` is None where the kernel has no schedstat; it includes the time that a CPU quota stopped them.
    """

    steal_s: float
    wait_s: float | None
    involuntary_switches: int
    cpu_s: float = 0.0


class MachineReading(NamedTuple):
    """CPU time that all processes have spent on all cores of the machine, and how many cores there are."""

    busy_s: float
    cores: int


class HostMonitor:
    """Reads /proc before and after a block; where there is none (not Linux), only involuntary switches."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._stat = proc / "stat"
        self._tasks = proc / "self" / "task"
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")

    def read(self) -> HostReading:
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        return HostReading(self._steal_s(), self._wait_s(), switches, time.process_time())

    def read_machine(self) -> MachineReading | None:
        """None where there is no /proc."""
        lines = [fields for fields in self._cpu_lines() if fields[0] != "cpu"]
        ticks = sum(int(fields[column]) for fields in lines for column in BUSY_FIELDS)
        return MachineReading(ticks * self._tick_s, len(lines)) if lines else None

    def doubt(self, before: HostReading, after: HostReading, duration_s: float) -> Doubt:
        """Disturbed if others took more than 2 % of the block's time; without schedstat, at any involuntary switch."""
        taken_s = after.steal_s - before.steal_s
        if before.wait_s is None or after.wait_s is None:
            switched = after.involuntary_switches > before.involuntary_switches
        else:
            switched = False
            taken_s += after.wait_s - before.wait_s
        return Doubt.DISTURBED if switched or taken_s > DISTURBED_SHARE * duration_s else Doubt.NONE

    def _steal_s(self) -> float:
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
        ours = {f"cpu{core}" for core in cores}
        ticks = sum(int(fields[STEAL_FIELD]) for fields in self._cpu_lines() if fields[0] in ours)
        return ticks * self._tick_s

    def _cpu_lines(self) -> list[list[str]]:
        try:
            lines = self._stat.read_text().splitlines()
        except OSError:
            return []
        split = (line.split() for line in lines if line.startswith("cpu"))
        return [fields for fields in split if len(fields) > STEAL_FIELD]

    def _wait_s(self) -> float | None:
        total_ns = 0
        try:
            for task in self._tasks.iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
                    total_ns += int((task / "schedstat").read_text().split()[1])
        except OSError:
            return None
        return total_ns * 1e-9
