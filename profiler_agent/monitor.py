"""What disturbs a block: steal and waiting for a core (/proc), throttling and neighbours on a GPU (NVML).

The NVML part is written against nvidia-ml-py; where a driver lacks a query, its label is missing.
"""

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pynvml

from lut_server.schemas import Scalar
from profiler_agent.rounds import Doubt

DISTURBED_SHARE = 0.02
STEAL_FIELD = 8  # of a cpu line in /proc/stat: proc(5)


class HostReading(NamedTuple):
    """Running totals: steal of this process's cores, its threads' waiting for a core, its involuntary switches."""

    steal_s: float
    wait_s: float | None
    involuntary_switches: int


class HostMonitor:
    """Reads /proc before and after a block; where there is none (not Linux), only involuntary switches."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._stat = proc / "stat"
        self._tasks = proc / "self" / "task"
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
        self._cores = {f"cpu{core}" for core in cores}

    def read(self) -> HostReading:
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        return HostReading(self._steal_s(), self._wait_s(), switches)

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
        try:
            lines = self._stat.read_text().splitlines()
        except OSError:
            return 0.0
        ticks = 0
        for line in lines:
            fields = line.split()
            if fields and fields[0] in self._cores and len(fields) > STEAL_FIELD:
                ticks += int(fields[STEAL_FIELD])
        return ticks * self._tick_s

    def _wait_s(self) -> float | None:
        total_ns = 0
        try:
            for task in self._tasks.iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
                    total_ns += int((task / "schedstat").read_text().split()[1])
        except OSError:
            return None
        return total_ns * 1e-9


class GpuMonitor:
    """NVML of one GPU, by its UUID (`GPU-…`).

    Raises:
        pynvml.NVMLError: no NVIDIA driver, or it does not know the GPU.
    """

    THROTTLED = (
        pynvml.nvmlClocksThrottleReasonHwSlowdown
        | pynvml.nvmlClocksThrottleReasonSwThermalSlowdown
        | pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
        | pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    )
    POWER_CAP = pynvml.nvmlClocksThrottleReasonSwPowerCap

    def __init__(self, uuid: str) -> None:
        pynvml.nvmlInit()
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)

    def reasons(self) -> int:
        """The mask of reasons for which clocks are below their maximum now; 0 where the driver does not tell."""
        # Drivers before 535 know only the older name, and so do older bindings.
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            query = getattr(pynvml, name, None)
            mask = _supported(partial(query, self._handle)) if query else None
            if mask is not None:
                return int(mask)
        return 0

    def doubt(self, before: int, after: int) -> Doubt:
        """Throttled by heat or the board; a power cap is how the device is set up and only labelled."""
        return Doubt.THROTTLED if (before | after) & self.THROTTLED else Doubt.NONE

    def labels(self) -> dict[str, Scalar]:
        """State to store beside a result: clock, temperature, power, power cap, other processes on the GPU."""
        handle = self._handle
        found: dict[str, Scalar | None] = {
            "gpu_sm_mhz": _supported(lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
            "gpu_temperature_c": _supported(
                lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
            ),
            "gpu_power_w": _supported(lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000),
            "gpu_power_capped": bool(self.reasons() & self.POWER_CAP),
            "gpu_foreign_processes": _supported(self._foreign_processes),
        }
        return {name: value for name, value in found.items() if value is not None}

    def driver(self) -> str:
        return str(pynvml.nvmlSystemGetDriverVersion())

    def power_limit_w(self) -> float | None:
        milliwatts = _supported(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(self._handle))
        return None if milliwatts is None else milliwatts / 1000

    def clock_policy(self) -> str | None:
        """The application clock that is set, where the GPU has that setting."""
        mhz = _supported(lambda: pynvml.nvmlDeviceGetApplicationsClock(self._handle, pynvml.NVML_CLOCK_SM))
        return None if mhz is None else f"SM application clock {mhz} MHz"

    def _foreign_processes(self) -> int:
        processes = [process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)]
        # In a container NVML tells the host's process ids: ours is then one of them under another number.
        return max(0, len(processes) - 1)


def _supported(query: Callable[[], Any]) -> Any:
    try:
        return query()
    except pynvml.NVMLError:
        return None
