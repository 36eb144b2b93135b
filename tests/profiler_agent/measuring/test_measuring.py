"""Clocks, runtime mode, monitors and environment of this machine, with real modules."""

import math
import time
from pathlib import Path
from typing import get_args

import pytest
import torch

from latency_tables.contract import Environment, Mode, Precision, Runtime
from profiler_agent.agent.process import inspect_device, messages_of
from profiler_agent.doubt import Doubt
from profiler_agent.errors import AgentMustStop, JobFailed
from profiler_agent.machine.allocator import KEEP_BUFFERS
from profiler_agent.machine.cores import ranges
from profiler_agent.machine.environment import find_device, inspect
from profiler_agent.machine.host_monitor import HostMonitor, HostReading
from profiler_agent.measuring.references import references
from profiler_agent.measuring.sampling import RECENT_BLOCKS, WARM_MOST, Sampler
from profiler_agent.messages import Checked, Inspected, InspectTask
from profiler_agent.runtimes.mode import MODES, library_versions, open_mode
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.block import MAX_EXECUTIONS, executions_per_block, settle
from profiler_agent.timing.host import HostClock

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
DEVICES = [pytest.param("cpu"), pytest.param("cuda:0", marks=needs_cuda)]


class SteppingClock:
    """A clock of an operation that takes 10 µs once it is warm, and ten times that at first."""

    block_s = 0.001

    def __init__(self) -> None:
        self.executed = 0

    def time_s(self, execute: object, executions: int) -> float:
        del execute
        before = self.executed
        self.executed += executions
        return sum(1e-5 * (1 + 9 * math.exp(-number / 20)) for number in range(before, self.executed))


def test_a_block_holds_as_many_executions_as_fill_it() -> None:
    assert executions_per_block(0.001, 0.005) == 5
    assert executions_per_block(0.1, 0.005) == 1
    assert executions_per_block(0.0, 0.005) == MAX_EXECUTIONS


def test_warming_up_ends_in_the_steady_state() -> None:
    clock = SteppingClock()
    executions = settle(clock, lambda: None)
    assert clock.executed > 50
    assert executions == pytest.approx(100, rel=0.05)


class CoolingClock:
    """A clock of an operation that takes 1 ms, and twice that the first three times after `cool()`."""

    block_s = 0.005

    def __init__(self) -> None:
        self.executed = 0
        self.slowness = 1.0
        self._cold = 3

    def cool(self) -> None:
        self._cold = 3

    def time_s(self, execute: object, executions: int) -> float:
        del execute
        cold = min(self._cold, executions)
        self._cold -= cold
        self.executed += executions
        return 1e-3 * self.slowness * (executions + cold)


@pytest.mark.parametrize("executions", [1, 2, 5])
def test_every_block_is_as_warm_as_the_others(executions: int) -> None:
    clock = CoolingClock()
    sampler = Sampler(clock, HostMonitor(), None)
    for _ in range(20):
        clock.cool()
        assert sampler.take("a", lambda: None, executions).latency_us == pytest.approx(1000)


def test_warming_up_is_bounded_and_follows_the_machine() -> None:
    clock = CoolingClock()
    sampler = Sampler(clock, HostMonitor(), None)
    sampler.take("a", lambda: None, 1)
    clock.slowness = 1.5
    for warm_ups in [WARM_MOST] * RECENT_BLOCKS + [1]:
        before = clock.executed
        assert sampler.take("a", lambda: None, 1).latency_us == pytest.approx(1500)
        assert clock.executed - before == warm_ups + 1


def test_what_takes_long_is_warmed_up_once() -> None:
    clock = CoolingClock()
    clock.slowness = 1000.0
    assert settle(clock, lambda: None) == 1
    sampler = Sampler(clock, HostMonitor(), None)
    for executed in (4, 5, 6):
        sampler.take("a", lambda: None, 1)
        assert clock.executed == executed


def test_the_host_clock_times_all_executions() -> None:
    calls: list[float] = []

    def execute() -> None:
        calls.append(time.perf_counter())

    start = time.perf_counter()
    duration_s = HostClock().time_s(execute, 7)
    assert len(calls) == 7
    assert calls[-1] - calls[0] <= duration_s <= time.perf_counter() - start


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_mode_executes_the_module_in_its_precision(name: str, precision: str) -> None:
    device = find_device(name)
    runtime = Runtime.model_validate({"precision": precision, "threads": 1 if name == "cpu" else None})
    module = torch.nn.Conv2d(3, 5, 3)
    mode = open_mode(runtime, device)
    with torch.inference_mode():
        output = mode.prepare(Subject(module, ((2, 3, 8, 8),)))()
        assert mode.clock.time_s(mode.prepare(Subject(module, ((2, 3, 8, 8),))), 3) > 0
    assert isinstance(output, torch.Tensor)
    assert output.shape == (2, 5, 6, 6)
    assert output.dtype == {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    assert output.device == device
    assert output.float().abs().sum() > 0


def test_inputs_are_shared_by_place_and_shape_and_random() -> None:
    mode = open_mode(Runtime(threads=1), CPU)
    calls: list[tuple[torch.Tensor, ...]] = []

    class Look(torch.nn.Module):
        def forward(self, *inputs: torch.Tensor) -> None:
            calls.append(inputs)

    shape = (1, 4, 8, 8)
    mode.prepare(Subject(Look(), (shape, shape)))()
    mode.prepare(Subject(Look(), (shape,)))()
    assert calls[0][0].data_ptr() == calls[1][0].data_ptr()
    assert calls[0][0].data_ptr() != calls[0][1].data_ptr()
    assert calls[0][0].std() == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(
    ("runtime", "reason"),
    [
        (Runtime(precision="tf32"), "CPUs have none"),
        (Runtime(precision="int8"), "'int8'"),
        (Runtime(mode="tensorrt"), "'tensorrt'"),
        (Runtime(threads=4096), "threads=4096"),
    ],
)
def test_what_cannot_run_here_is_refused_with_the_reason(runtime: Runtime, reason: str) -> None:
    with pytest.raises(JobFailed, match=reason):
        open_mode(runtime, CPU)


@pytest.mark.parametrize("name", DEVICES)
def test_references_run_on_the_device(name: str) -> None:
    device = find_device(name)
    mode = open_mode(Runtime(threads=1 if name == "cpu" else None), device)
    with torch.inference_mode():
        for reference in references(device).values():
            mode.prepare(Subject(reference.module, reference.input_shapes))()


def test_the_host_monitor_sees_running_totals() -> None:
    monitor = HostMonitor()
    before = monitor.read()
    time.sleep(0.01)
    after = monitor.read()
    assert after.steal_s >= before.steal_s >= 0
    assert after.involuntary_switches >= before.involuntary_switches
    assert monitor.doubt(before, before, 0.005) is Doubt.NONE


def test_steal_waiting_and_switches_are_doubt() -> None:
    monitor = HostMonitor()
    quiet = HostReading(1.0, 1.0, 5)
    assert monitor.doubt(quiet, HostReading(1.0, 1.00005, 9), 0.005) is Doubt.NONE
    assert monitor.doubt(quiet, HostReading(1.01, 1.0, 5), 0.005) is Doubt.DISTURBED
    assert monitor.doubt(quiet, HostReading(1.0, 1.001, 5), 0.005) is Doubt.DISTURBED
    blind = HostReading(0.0, None, 5)
    assert monitor.doubt(blind, blind, 0.005) is Doubt.NONE
    assert monitor.doubt(blind, HostReading(0.0, None, 6), 0.005) is Doubt.DISTURBED


def test_without_proc_the_monitor_goes_by_switches(tmp_path: Path) -> None:
    reading = HostMonitor(tmp_path).read()
    assert (reading.steal_s, reading.wait_s) == (0.0, None)


def test_this_machine_is_described_the_same_each_time() -> None:
    machine = inspect("cpu", library_versions())
    assert machine == inspect("cpu", library_versions())
    device, environment = machine.device, machine.environment
    assert device.kind == "cpu"
    assert device.uuid.startswith("CPU-")
    assert device.memory_bytes > 2**28
    assert environment.torch == torch.__version__


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "meta"])
def test_a_device_that_is_not_here_is_named(name: str) -> None:
    with pytest.raises(AgentMustStop, match=name):
        find_device(name)


@needs_cuda
def test_a_gpu_is_described_with_its_driver() -> None:
    _, device, environment, *_ = inspect("cuda:0", library_versions())
    assert device.uuid.startswith("GPU-")
    assert device.compute_capability
    assert environment.cuda == torch.version.cuda


@pytest.mark.process
def test_the_measuring_process_keeps_its_buffers_and_says_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEEP_BUFFERS:
        monkeypatch.delenv(name, raising=False)
    messages = list(messages_of(InspectTask(device="cpu", check=True)))
    inspected = next(message for message in messages if isinstance(message, Inspected))
    allocator = inspected.environment.allocator
    assert allocator is not None
    assert "glibc" not in allocator or "buffers kept" in allocator
    checked = next(message for message in messages if isinstance(message, Checked))
    reasons = {(capability.mode, capability.precision): capability.reason for capability in checked.capabilities}
    assert reasons["pytorch", "fp32"] is None
    assert reasons["pytorch", "tf32"]
    assert reasons["onnxruntime", "fp32"] is None
    assert len(reasons) == len(get_args(Mode)) * len(get_args(Precision))
    for mode in [mode for mode, entry in MODES.items() if "cpu" not in entry.precisions]:
        assert all(reasons[mode, precision] for precision in get_args(Precision))


@pytest.mark.process
def test_a_device_that_is_not_here_ends_the_inspection_with_the_reason() -> None:
    with pytest.raises(AgentMustStop, match="cuda:99"):
        inspect_device("cuda:99")


def test_a_changed_allocator_is_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def environment() -> Environment:
        return inspect("cpu", library_versions()).environment

    before = environment()
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")
    assert environment().digest != before.digest


@pytest.mark.parametrize(("cores", "name"), [([3], "3"), ([0, 1, 2, 5], "0-2,5"), ([1, 3], "1,3")])
def test_cores_are_named_as_linux_names_them(cores: list[int], name: str) -> None:
    assert ",".join(ranges(cores)) == name
