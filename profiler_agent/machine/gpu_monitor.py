"""What disturbs a block on a GPU: throttling, moving clocks, neighbours (NVML).

Written against nvidia-ml-py; where a driver lacks a query, its value is missing.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pynvml

from latency_tables.contract import Observed
from latency_tables.statistics import quantile
from profiler_agent.doubt import Doubt
from profiler_agent.errors import AgentMustStop

STEADY_CLOCK_REL = 0.01
LEAST = 1e-3
MAX_MHZ = 1e5
MAX_W = 1e5
"""No GPU has more, or less than LEAST of either."""


class GpuReading(NamedTuple):
    """Running totals in ns per reason for slow clocks, and the reasons, clocks, heat and power now.

    None: the driver does not say.
    """

    throttled_ns: int | None
    power_capped_ns: int | None
    mask: int
    sm_mhz: float | None
    memory_mhz: float | None
    temperature_c: float | None
    power_w: float | None


class GpuMonitor:
    """NVML of one GPU, by its UUID (`GPU-…`), or of a slice of one (`MIG-…`).

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
    CLOCK_SETTING = pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting

    def __init__(self, uuid: str) -> None:
        pynvml.nvmlInit()
        self._uuid = uuid
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        self._handles = [handle]
        if uuid.startswith("MIG-"):
            with suppress(pynvml.NVMLError):
                self._handles.append(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle))
        self._power_capped = False
        self._readings: dict[str, list[GpuReading]] = {}

    def read(self) -> GpuReading:
        """To be called before and after a block. Raises AgentMustStop if the GPU is gone."""
        return GpuReading(
            throttled_ns=self._total_ns(
                ("SW_THERM_SLOWDOWN", "HW_THERM_SLOWDOWN", "HW_POWER_BRAKE_SLOWDOWN"), pynvml.NVML_PERF_POLICY_THERMAL
            ),
            power_capped_ns=self._total_ns(("SW_POWER_CAP",), pynvml.NVML_PERF_POLICY_POWER),
            mask=self._mask(),
            sm_mhz=self._clock_mhz(pynvml.NVML_CLOCK_SM),
            memory_mhz=self._clock_mhz(pynvml.NVML_CLOCK_MEM),
            temperature_c=_between(
                -100,
                self._ask(lambda handle: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
                1000,
            ),
            power_w=_between(0, self._watts(pynvml.nvmlDeviceGetPowerUsage), MAX_W),
        )

    def doubt(self, before: GpuReading, after: GpuReading) -> Doubt:
        """Throttled by heat or the board; a power cap is how the device is set up and only labelled.

        The mask shows two moments only, so it counts where there is no counter.
        """
        mask = before.mask | after.mask
        self._power_capped |= _rose(before.power_capped_ns, after.power_capped_ns, bool(mask & self.POWER_CAP))
        throttled = _rose(before.throttled_ns, after.throttled_ns, bool(mask & self.THROTTLED))
        return Doubt.THROTTLED if throttled else Doubt.NONE

    def keep(self, name: str, reading: GpuReading) -> None:
        """Record the reading right after a block of this workload or reference."""
        self._readings.setdefault(name, []).append(reading)

    def observed(self, name: str) -> Observed:
        """The GPU's state over the blocks of `name` so far; clocks and power cap over those of all."""
        mine = self._readings.get(name, [])
        return Observed(
            clocks=self._clocks([reading for readings in self._readings.values() for reading in readings]),
            sm_mhz=_median(reading.sm_mhz for reading in mine),
            memory_mhz=_median(reading.memory_mhz for reading in mine),
            temperature_c=max(_known(reading.temperature_c for reading in mine), default=None),
            power_w=_median(reading.power_w for reading in mine),
            power_capped=self._power_capped,
            foreign_processes=self._ask_one(self._handles[0], self._foreign_processes),
        )

    def _clocks(self, readings: list[GpuReading]) -> Literal["locked", "not locked"] | None:
        """NVML does not show a lock: a clock setting that always limits is one, and a clock that moves has none."""
        if readings and all(reading.mask & self.CLOCK_SETTING for reading in readings):
            return "locked"
        clocks = sorted(reading.sm_mhz for reading in readings if reading.sm_mhz is not None)
        if clocks and quantile(clocks, 0.9) - quantile(clocks, 0.1) > STEADY_CLOCK_REL * quantile(clocks, 0.5):
            return "not locked"
        return None

    def driver(self) -> str:
        return str(pynvml.nvmlSystemGetDriverVersion())

    def power_limit_w(self) -> float | None:
        return _between(LEAST, self._watts(pynvml.nvmlDeviceGetEnforcedPowerLimit), MAX_W)

    def clock_policy(self) -> str | None:
        """The application clock that is set, where the GPU has that setting."""
        mhz = self._ask(lambda handle: pynvml.nvmlDeviceGetApplicationsClock(handle, pynvml.NVML_CLOCK_SM))
        return None if _between(LEAST, mhz, MAX_MHZ) is None else f"SM application clock {mhz} MHz"

    def _clock_mhz(self, kind: int) -> float | None:
        return _between(LEAST, self._ask(lambda handle: pynvml.nvmlDeviceGetClockInfo(handle, kind)), MAX_MHZ)

    def _watts(self, query: Callable[[Any], Any]) -> float | None:
        milliwatts = self._ask(query)
        return None if milliwatts is None else milliwatts / 1000

    def _mask(self) -> int:
        # Drivers before 535 know only the older name, and so do older bindings.
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            query = getattr(pynvml, name, None)
            mask = self._ask(query) if query else None
            if mask is not None:
                return int(mask)
        return 0

    def _total_ns(self, reasons: tuple[str, ...], policy: int) -> int | None:
        """Counters by reason, which newer drivers have, else the older one of a whole policy."""
        ids = [getattr(pynvml, f"NVML_FI_DEV_CLOCKS_EVENT_REASON_{reason}", None) for reason in reasons]
        if None not in ids:
            values = self._ask(lambda handle: pynvml.nvmlDeviceGetFieldValues(handle, ids))
            if values is not None and all(value.nvmlReturn == pynvml.NVML_SUCCESS for value in values):
                return sum(int(value.value.ullVal) for value in values)
        status = self._ask(lambda handle: pynvml.nvmlDeviceGetViolationStatus(handle, policy))
        return None if status is None else int(status.violationTime)

    def _foreign_processes(self, handle: Any) -> int:
        pids = {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)}
        ours = _family(os.getpid())
        # In a container NVML has the host's process ids: ours is then one of them under another number.
        return len(pids - ours) if pids & ours else max(0, len(pids) - 1)

    def _ask(self, query: Callable[[Any], Any]) -> Any:
        """None where this driver or GPU does not have the query; what a slice cannot tell, the whole GPU is asked."""
        answers = (self._ask_one(handle, query) for handle in self._handles)
        return next((answer for answer in answers if answer is not None), None)

    def _ask_one(self, handle: Any, query: Callable[[Any], Any]) -> Any:
        try:
            return query(handle)
        except pynvml.NVMLError as error:
            if error.value in (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED):
                raise AgentMustStop(f"GPU {self._uuid} is gone ({error}); nvidia-smi and dmesg say more") from error
            return None


def _between(low: float, value: float | None, high: float) -> float | None:
    """A value that can be; drivers tell 0 MHz or 2**32 - 1 mW for what they do not know."""
    return value if value is not None and low <= value <= high else None


def _median(values: Iterable[float | None]) -> float | None:
    ordered = sorted(_known(values))
    return quantile(ordered, 0.5) if ordered else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _rose(before: int | None, after: int | None, otherwise: bool) -> bool:
    return otherwise if before is None or after is None else after > before


def _family(pid: int) -> set[int]:
    """A process and all that it started, as far as /proc shows."""
    pids = {pid}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                pids |= _family(int(child))
    return pids
