"""CUDA clocks and the loss of a GPU, played: a simulated device in place of torch.cuda, which needs a real one."""

from collections import deque
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch

from latency_tables.contract import Runtime
from profiler_agent.errors import AgentMustStop, JobFailed, Unmeasurable
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.measuring import workbench
from profiler_agent.measuring.workbench import Workbench
from profiler_agent.measuring.workload import Workload
from profiler_agent.runtimes.agreement import Mismatch
from profiler_agent.runtimes.modes.pytorch import PyTorchMode
from profiler_agent.runtimes.modes.pytorch_graph import PyTorchGraphMode
from profiler_agent.runtimes.subject import Subject
from profiler_agent.timing.cuda import CudaEventClock
from profiler_agent.timing.graph import CudaGraphClock
from profiler_agent.timing.host import HostClock

GPU = torch.device("cuda:0")
LAUNCH_S = 5e-6
QUEUE = 1000


class Gpu:
    """A host that launches, and a device that executes in order; a full queue makes the host wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host_s = self.free_s = 0.0
        self._queue: deque[float] = deque()
        gpu = self

        class Event:
            at_s = 0.0

            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self, _: object) -> None:
                self.at_s = max(gpu.free_s, gpu.host_s)

            def query(self) -> bool:
                return gpu.host_s >= self.at_s

            def synchronize(self) -> None:
                gpu.host_s = max(gpu.host_s, self.at_s)

            def elapsed_time(self, other: "Event") -> float:
                return (other.at_s - self.at_s) * 1e3

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _: self)
        monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
        monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: self.launch(cycles / 1.5e9))

    def synchronize(self) -> None:
        self.host_s = max(self.host_s, self.free_s)

    def launch(self, kernel_s: float) -> None:
        self.host_s += LAUNCH_S
        while self._queue and self._queue[0] <= self.host_s:
            self._queue.popleft()
        if len(self._queue) >= QUEUE:
            self.host_s = self._queue.popleft()
        self.free_s = max(self.free_s, self.host_s) + kernel_s
        self._queue.append(self.free_s)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


@pytest.mark.parametrize("kernel_s", [1e-6, 50e-6])
def test_an_eager_execution_costs_the_launch_and_the_device_alone_its_kernel(gpu: Gpu, kernel_s: float) -> None:
    clock = CudaEventClock(GPU)
    launch: Callable[[], None] = lambda: gpu.launch(kernel_s)  # noqa: E731
    assert clock.time_s(launch, 200) / 200 == pytest.approx(max(LAUNCH_S, kernel_s), rel=0.02)
    assert clock.device_s(launch, 64) == pytest.approx(kernel_s, rel=1e-6)


def test_an_operation_of_many_launches_takes_fewer_executions_and_one_of_too_many_has_no_device_time(gpu: Gpu) -> None:
    clock = CudaEventClock(GPU)

    def launches(count: int) -> Callable[[], None]:
        def execute() -> None:
            for _ in range(count):
                gpu.launch(1e-6)

        return execute

    assert clock.device_s(launches(400), 64) == pytest.approx(400e-6, rel=1e-6)
    assert clock.device_s(launches(3 * QUEUE), 64) is None


class Doubled(torch.nn.Module):
    """Tells the graph that is captured what it put where."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        if Graph.recording is not None:
            Graph.recording.outputs.append((y, y.clone()))
            y.zero_()  # capturing computes nothing
        return y


class Graph:
    """Writes, when it is replayed, what was computed while it was captured, times `factor`."""

    recording: "Graph | None" = None
    factor = 1.0

    def __init__(self) -> None:
        self.outputs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def capture_begin(self, pool: object) -> None:
        del pool
        Graph.recording = self

    def capture_end(self) -> None:
        Graph.recording = None

    def replay(self) -> None:
        for output, value in self.outputs:
            output.copy_(value * self.factor)


class Stream:
    device = GPU

    def __init__(self, _: object) -> None:
        pass

    def synchronize(self) -> None:
        pass


@pytest.fixture
def graph_mode(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> PyTorchGraphMode:
    del gpu
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: 0)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    eager = PyTorchMode(Runtime(threads=1), torch.device("cpu"))
    mode = PyTorchGraphMode.__new__(PyTorchGraphMode)
    vars(mode).update(vars(eager), _precision="fp32", _graphs=CudaGraphClock(GPU))
    return mode


def test_a_graph_that_computes_what_the_eager_call_does_is_taken(graph_mode: PyTorchGraphMode) -> None:
    with torch.inference_mode():
        output = graph_mode.prepare(Subject(Doubled(), ((1, 4),)))()
    assert isinstance(output, torch.Tensor)
    assert output.abs().sum() > 0


def test_a_graph_that_computes_something_else_is_refused(
    graph_mode: PyTorchGraphMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Graph, "factor", 1.01)
    with torch.inference_mode(), pytest.raises(Mismatch, match=r"the captured graph gives .*, PyTorch "):
        graph_mode.prepare(Subject(Doubled(), ((1, 4),)))


class FailingMode:
    """Executes until it is told to fail, and then fails as CUDA does."""

    clock = HostClock()
    settings: dict[str, str] = {}  # noqa: RUF012
    fails = False

    def prepare(self, *_: object) -> Callable[[], None]:
        return self.execute

    def execute(self) -> None:
        if self.fails:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with …")


class LostGpu(GpuMonitor):
    """What NVML answers for a GPU that fell off the bus."""

    def __init__(self) -> None:
        pass

    def read(self) -> None:  # type: ignore[override]
        raise AgentMustStop("GPU GPU-1 is gone")


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> FailingMode:
    mode = FailingMode()
    monkeypatch.setattr(workbench, "open_mode", lambda *_: mode)
    return mode


def test_an_error_of_what_ran_before_is_the_gpu_s(mode: FailingMode) -> None:
    bench = Workbench(Runtime(), GPU, None)
    bench.take("reference-launch", 1)
    mode.fails = True
    for step in (lambda: bench.take("reference-launch", 1), lambda: bench.settle("reference-launch")):
        with pytest.raises(AgentMustStop, match="failed while measuring: RuntimeError: CUDA error: unspecified launch"):
            step()


def test_a_gpu_that_is_lost_is_named_whatever_was_under_way(mode: FailingMode) -> None:
    bench = Workbench(Runtime(), GPU, LostGpu())
    mode.fails = True
    with pytest.raises(AgentMustStop, match="GPU-1 is gone"):
        bench.settle("reference-launch")
    with pytest.raises(AgentMustStop, match="GPU-1 is gone"):
        bench.build(Workload("key", "conv", torch.nn.ReLU, ((1, 4),), is_part=True))


def test_an_operation_that_fails_is_told_from_one_that_breaks_the_context(
    mode: FailingMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Workbench(Runtime(), GPU, None)
    mode.fails = True
    workload = Workload("key", "conv", torch.nn.ReLU, ((1, 4),), is_part=True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    with pytest.raises(Unmeasurable, match="conv: RuntimeError: CUDA error"):
        bench.build(workload)

    def broken(_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    with pytest.raises(JobFailed, match="conv: RuntimeError: CUDA error") as failure:
        bench.build(workload)
    assert failure.type is JobFailed, "the whole job, not the one operation"


def test_an_operation_that_runs_short_of_memory_fails_alone_and_has_no_device_time(
    mode: FailingMode, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    del gpu

    def run_short() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    bench = Workbench(Runtime(), GPU, None)
    monkeypatch.setattr(mode, "clock", CudaEventClock(GPU))
    bench.build(Workload("key", "conv", torch.nn.ReLU, ((1, 4),), is_part=True))
    monkeypatch.setitem(bench._executes, "key", run_short)
    for step in (lambda: bench.settle("key"), lambda: bench.take("key", 1)):
        with pytest.raises(Unmeasurable, match="conv: OutOfMemoryError: CUDA out of memory"):
            step()
    assert bench.device_us("key", 1) is None
