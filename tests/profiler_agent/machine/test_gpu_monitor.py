"""What NVML's answers mean, whichever of them a driver has. NVML itself needs an NVIDIA driver."""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from latency_tables.contract import Observed
from profiler_agent.errors import AgentMustStop
from profiler_agent.machine.gpu_monitor import GpuMonitor

CAP = pynvml.nvmlClocksThrottleReasonSwPowerCap
HEAT = pynvml.nvmlClocksThrottleReasonHwThermalSlowdown


def fails(code: int) -> Callable[..., Any]:
    def query(*_: object) -> Any:
        raise pynvml.NVMLError(code)

    return query


class Driver:
    """An old driver on which everything answers NotSupported, until told otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.has(nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=lambda _: "handle")
        for name in dir(pynvml):
            if name.startswith("nvmlDeviceGet") and name != "nvmlDeviceGetHandleByUUID":
                self._patch.setattr(pynvml, name, fails(pynvml.NVML_ERROR_NOT_SUPPORTED))

    def has(self, **queries: Callable[..., Any]) -> None:
        for name, query in queries.items():
            self._patch.setattr(pynvml, name, query)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(monkeypatch)


def counters(ns: dict[int, int]) -> Callable[..., Any]:
    def query(_: object, ids: list[int]) -> Any:
        return [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(ullVal=ns[field])) for field in ids]

    return query


def test_a_driver_without_any_query_gives_no_doubt_and_no_guess(driver: Driver) -> None:
    del driver
    monitor = GpuMonitor("GPU-1")
    assert monitor.doubt(monitor.read(), monitor.read()).value == "none"
    monitor.keep("conv", monitor.read())
    assert monitor.observed("conv") == Observed(power_capped=False)
    assert (monitor.power_limit_w(), monitor.clock_policy()) == (None, None)


def test_counters_see_what_happened_between_the_readings(driver: Driver) -> None:
    cap, *thermal = (
        getattr(pynvml, f"NVML_FI_DEV_CLOCKS_EVENT_REASON_{reason}")
        for reason in ("SW_POWER_CAP", "SW_THERM_SLOWDOWN", "HW_THERM_SLOWDOWN", "HW_POWER_BRAKE_SLOWDOWN")
    )
    ns = {cap: 5, thermal[0]: 7, thermal[1]: 0, thermal[2]: 0}
    driver.has(nvmlDeviceGetFieldValues=counters(ns))
    monitor = GpuMonitor("GPU-1")
    before = monitor.read()
    assert monitor.doubt(before, monitor.read()).value == "none"
    ns[cap] += 1
    assert monitor.doubt(before, monitor.read()).value == "none"
    assert monitor.observed("conv").power_capped is True
    ns[thermal[1]] += 1
    assert monitor.doubt(before, monitor.read()).value == "throttled"


def test_an_older_driver_counts_by_policy(driver: Driver) -> None:
    ns = {pynvml.NVML_PERF_POLICY_THERMAL: 1, pynvml.NVML_PERF_POLICY_POWER: 1}
    driver.has(nvmlDeviceGetViolationStatus=lambda _, policy: SimpleNamespace(violationTime=ns[policy]))
    monitor = GpuMonitor("GPU-1")
    before = monitor.read()
    ns[pynvml.NVML_PERF_POLICY_POWER] += 1
    assert monitor.doubt(before, monitor.read()).value == "none"
    ns[pynvml.NVML_PERF_POLICY_THERMAL] += 1
    assert monitor.doubt(before, monitor.read()).value == "throttled"


@pytest.mark.parametrize(
    "name", ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"]
)
def test_without_counters_the_mask_decides_under_either_name(driver: Driver, name: str) -> None:
    monitor = GpuMonitor("GPU-1")
    driver.has(**{name: lambda _: CAP})
    assert monitor.doubt(monitor.read(), monitor.read()).value == "none"
    assert monitor.observed("conv").power_capped is True
    driver.has(**{name: lambda _: CAP | HEAT})
    assert monitor.doubt(monitor.read(), monitor.read()).value == "throttled"


def test_only_processes_of_others_are_foreign(driver: Driver) -> None:
    pids = [os.getpid(), 99_999_999]
    driver.has(nvmlDeviceGetComputeRunningProcesses=lambda _: [SimpleNamespace(pid=pid) for pid in pids])
    monitor = GpuMonitor("GPU-1")
    assert monitor.observed("conv").foreign_processes == 1
    pids.pop()
    assert monitor.observed("conv").foreign_processes == 0
    pids[:] = [99_999_999]  # a container: ours under the host's number
    assert monitor.observed("conv").foreign_processes == 0


def test_a_gpu_that_vanishes_is_named(driver: Driver) -> None:
    monitor = GpuMonitor("GPU-1")
    driver.has(nvmlDeviceGetViolationStatus=fails(pynvml.NVML_ERROR_GPU_IS_LOST))
    with pytest.raises(AgentMustStop, match="GPU-1 is gone"):
        monitor.read()


def test_what_is_kept_of_a_workload_is_its_own_and_typical(driver: Driver) -> None:
    now = {"mhz": 1500, "celsius": 60, "milliwatts": 150_000}
    driver.has(
        nvmlDeviceGetClockInfo=lambda _, kind: now["mhz"] if kind == pynvml.NVML_CLOCK_SM else 7000,
        nvmlDeviceGetTemperature=lambda *_: now["celsius"],
        nvmlDeviceGetPowerUsage=lambda _: now["milliwatts"],
    )
    monitor = GpuMonitor("GPU-1")
    for mhz, celsius in ((1500, 60), (1500, 71), (1200, 65)):
        now.update(mhz=mhz, celsius=celsius)
        monitor.keep("conv", monitor.read())
    now.update(mhz=300, celsius=90)
    monitor.keep("pool", monitor.read())
    observed = monitor.observed("conv")
    assert (observed.sm_mhz, observed.memory_mhz, observed.temperature_c, observed.power_w) == (1500, 7000, 71, 150)
    assert observed.clocks == "not locked", "the clock moved"


def test_a_steady_clock_is_no_lock_unless_a_setting_holds_it(driver: Driver) -> None:
    setting, mask = pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting, [0]
    driver.has(nvmlDeviceGetClockInfo=lambda *_: 1400, nvmlDeviceGetCurrentClocksThrottleReasons=lambda _: mask[0])
    steady = GpuMonitor("GPU-1")
    steady.keep("conv", steady.read())
    assert steady.observed("conv").clocks is None
    mask[0] = setting
    held = GpuMonitor("GPU-1")
    held.keep("conv", held.read())
    assert held.observed("conv").clocks == "locked"


def test_values_that_cannot_be_count_as_not_told(driver: Driver) -> None:
    """0 MHz, 2**32 - 1 mW: a whole job failed by them, after everything was measured."""
    driver.has(
        nvmlDeviceGetClockInfo=lambda *_: 0,
        nvmlDeviceGetPowerUsage=lambda _: 2**32 - 1,
        nvmlDeviceGetEnforcedPowerLimit=lambda _: 0,
        nvmlDeviceGetApplicationsClock=lambda *_: 0,
        nvmlDeviceGetTemperature=lambda *_: 2**31,
    )
    monitor = GpuMonitor("GPU-1")
    monitor.keep("conv", monitor.read())
    assert monitor.observed("conv") == Observed(power_capped=False)
    assert (monitor.power_limit_w(), monitor.clock_policy()) == (None, None)


def test_what_a_slice_cannot_tell_its_gpu_is_asked(driver: Driver) -> None:
    def of_whole(value: int) -> Callable[..., Any]:
        return lambda handle, *_: value if handle == "whole" else fails(pynvml.NVML_ERROR_NOT_SUPPORTED)()

    driver.has(
        nvmlDeviceGetDeviceHandleFromMigDeviceHandle=lambda _: "whole",
        nvmlDeviceGetClockInfo=of_whole(1410),
        nvmlDeviceGetPowerUsage=of_whole(250_000),
    )
    monitor = GpuMonitor("MIG-1")
    monitor.keep("conv", monitor.read())
    observed = monitor.observed("conv")
    assert (observed.sm_mhz, observed.power_w, observed.foreign_processes) == (1410, 250, None)
