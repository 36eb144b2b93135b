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
from profiler_agent.trace import Doubt

DISTURBED_SHARE = 0.02
STEAL_FIELD = 8  # of a cpu line in /proc/stat: proc(5)


class NoDevice(Exception):
    """The device that was asked for is not here, or no longer; the message says what is."""


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


class GpuReading(NamedTuple):
    """Running totals in ns per reason for slow clocks, None where the driver has none; and the reasons now."""

    throttled_ns: int | None
    power_capped_ns: int | None
    mask: int


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
        self._uuid = uuid
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        self._power_capped = False

    def read(self) -> GpuReading:
        """To be taken before and after a block. Raises NoDevice if the GPU is gone."""
        return GpuReading(
            throttled_ns=self._total_ns(
                ("SW_THERM_SLOWDOWN", "HW_THERM_SLOWDOWN", "HW_POWER_BRAKE_SLOWDOWN"), pynvml.NVML_PERF_POLICY_THERMAL
            ),
            power_capped_ns=self._total_ns(("SW_POWER_CAP",), pynvml.NVML_PERF_POLICY_POWER),
            mask=self._mask(),
        )

    def doubt(self, before: GpuReading, after: GpuReading) -> Doubt:
        """Throttled by heat or the board; a power cap is how the device is set up and only labelled.

        The mask tells of two moments only, so it counts where there is no counter.
        """
        mask = before.mask | after.mask
        self._power_capped |= _rose(before.power_capped_ns, after.power_capped_ns, bool(mask & self.POWER_CAP))
        throttled = _rose(before.throttled_ns, after.throttled_ns, bool(mask & self.THROTTLED))
        return Doubt.THROTTLED if throttled else Doubt.NONE

    def labels(self) -> dict[str, Scalar]:
        """State to store beside a result: clocks, temperature, power, power cap so far, other processes on the GPU."""
        handle = self._handle
        found: dict[str, Scalar | None] = {
            "gpu_sm_mhz": self._ask(lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
            "gpu_memory_mhz": self._ask(lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM)),
            "gpu_temperature_c": self._ask(
                lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
            ),
            "gpu_power_w": self._ask(lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000),
            "gpu_power_capped": self._power_capped,
            "gpu_foreign_processes": self._ask(self._foreign_processes),
        }
        return {name: value for name, value in found.items() if value is not None}

    def driver(self) -> str:
        return str(pynvml.nvmlSystemGetDriverVersion())

    def power_limit_w(self) -> float | None:
        milliwatts = self._ask(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(self._handle))
        return None if milliwatts is None else milliwatts / 1000

    def clock_policy(self) -> str | None:
        """The application clock that is set, where the GPU has that setting."""
        mhz = self._ask(lambda: pynvml.nvmlDeviceGetApplicationsClock(self._handle, pynvml.NVML_CLOCK_SM))
        return None if mhz is None else f"SM application clock {mhz} MHz"

    def _mask(self) -> int:
        # Drivers before 535 know only the older name, and so do older bindings.
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            query = getattr(pynvml, name, None)
            mask = self._ask(partial(query, self._handle)) if query else None
            if mask is not None:
                return int(mask)
        return 0

    def _total_ns(self, reasons: tuple[str, ...], policy: int) -> int | None:
        """Counters by reason, which newer drivers have, else the older one of a whole policy."""
        ids = [getattr(pynvml, f"NVML_FI_DEV_CLOCKS_EVENT_REASON_{reason}", None) for reason in reasons]
        if None not in ids:
            values = self._ask(lambda: pynvml.nvmlDeviceGetFieldValues(self._handle, ids))
            if values is not None and all(value.nvmlReturn == pynvml.NVML_SUCCESS for value in values):
                return sum(int(value.value.ullVal) for value in values)
        status = self._ask(lambda: pynvml.nvmlDeviceGetViolationStatus(self._handle, policy))
        return None if status is None else int(status.violationTime)

    def _foreign_processes(self) -> int:
        pids = {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle)}
        ours = _family(os.getpid())
        # In a container NVML tells the host's process ids: ours is then one of them under another number.
        return len(pids - ours) if pids & ours else max(0, len(pids) - 1)

    def _ask(self, query: Callable[[], Any]) -> Any:
        """None where this driver or GPU does not have the query."""
        try:
            return query()
        except pynvml.NVMLError as error:
            if error.value in (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED):
                raise NoDevice(f"GPU {self._uuid} is gone ({error}); nvidia-smi and dmesg say more") from error
            return None


def _rose(before: int | None, after: int | None, otherwise: bool) -> bool:
    return otherwise if before is None or after is None else after > before


def _family(pid: int) -> set[int]:
    """A process and all that it started, as far as /proc tells."""
    found = {pid}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                found |= _family(int(child))
    return found
