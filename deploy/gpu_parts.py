"""What a day with a GPU consists of. Each part is run by deploy/gpu_day.py in a process of its own."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks._agent import LocalAgent
from benchmarks.supernet_step import FULL, SMALL, our_step
from latency_tables.calibration import Calibrated, TimedNetwork, choose
from latency_tables.contract import (
    Basis,
    Effort,
    LatencyTable,
    Measurement,
    Mode,
    Observed,
    OperationSpec,
    Precision,
    Runtime,
    TableFile,
)
from latency_tables.latencies import latency_us, network_us
from latency_tables.whole_files import write_whole
from lgcnet_search.search.search import SearchSettings
from lgcnet_search.space import REQUIREMENT, SPACE
from lgcnet_search.space.digest import space_digest
from lgcnet_search.space.genotype import varied_genotype
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from lut_server.analysis.error_card import error_card
from profiler_agent.agent.process import inspect_device, messages_of
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.messages import Checked, InspectTask

BASIS: Basis = "normalized_us"
MEASURING = "tests/profiler_agent/measuring/test_measuring.py"
ENGINES = "tests/profiler_agent/runtimes/test_engines.py"
POOL = 200
"""Random networks of which some are measured."""


@dataclass(frozen=True)
class Day:
    """Where everything is kept, on which device, at which size. `small` is for rehearsing on a CPU."""

    folder: Path
    device: str
    small: bool

    @property
    def space(self) -> Space:
        return Space(height=65, width=129) if self.small else Space()

    @property
    def operations(self) -> tuple[OperationSpec, ...]:
        """Of the whole space; small: one of each kind, besides those of the networks."""
        return self.space.operations

    @property
    def networks(self) -> int:
        return 4 if self.small else 12

    def effort(self, seconds: float) -> Effort:
        """Of a job that is to take so long; a rehearsal takes the least blocks there are."""
        return Effort(min_blocks=6, budget_s=0.1) if self.small else Effort(budget_s=seconds)

    def agent(self, mode: Mode, precision: Precision) -> LocalAgent:
        threads = 1 if self.device == "cpu" else None
        runtime = Runtime(mode=mode, precision=precision, threads=threads)
        standard = self.folder / f"standard-{mode}-{precision}.json"
        return LocalAgent(runtime, SPACE, space_digest(), REQUIREMENT, standard=standard, device=self.device)

    def table_path(self, mode: Mode, precision: Precision) -> Path:
        return self.folder / "tables" / f"{mode}-{precision}.json"

    def table(self, mode: Mode, precision: Precision) -> LatencyTable:
        """The table of an earlier part. Raises FileNotFoundError with the name of the part."""
        path = self.table_path(mode, precision)
        if not path.exists():
            raise FileNotFoundError(f"there is no table of {mode} {precision}; its part failed")
        return TableFile.model_validate_json(path.read_bytes()).table


class Part(NamedTuple):
    """A part of the day: what it gives goes into the JSON under its name. `limit_s` is its time limit on a GPU."""

    limit_s: float
    work: Callable[[Day], Mapping[str, Any]]


def doctor(day: Day) -> Mapping[str, Any]:
    """The device, its environment, and for every mode and precision why it does not work, or null."""
    inspected = inspect_device(day.device)
    reasons: dict[str, dict[str, str | None]] = {}
    for message in messages_of(InspectTask(device=day.device, check=True)):
        if isinstance(message, Checked):
            for capability in message.capabilities:
                reasons.setdefault(capability.mode, {})[capability.precision] = capability.reason
    return {
        "device": inspected.device.model_dump(mode="json"),
        "environment": inspected.environment.model_dump(mode="json", exclude_none=True),
        "modes": reasons,
    }


def tests(day: Day) -> Mapping[str, Any]:
    """The tests of what touches the GPU; on a CPU, one that runs on both."""
    chosen = [MEASURING, "-k", "references_run"] if day.small else [MEASURING, ENGINES, "-m", "not process"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"exit_code": done.returncode, "summary": lines[-1] if lines else done.stderr[-500:], "failed": failed}


def profile(day: Day, mode: Mode, precision: Precision) -> Mapping[str, Any]:
    """A table of the whole space, exported as a file that `lut-server import` takes."""
    started_s = time.monotonic()
    table, measurements = _table(day, mode, precision)
    path = day.table_path(mode, precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, TableFile(content_digest=table.digest, table=table).model_dump_json().encode())
    taken = list(measurements.values())
    return {
        "file": str(path.relative_to(day.folder)),
        "rows": len(table.rows),
        "doubtful": sum(not row.quality.sound for row in table.rows),
        "sum_us": round(sum(row.latency.median_us for row in table.rows), 1),
        "seconds": round(time.monotonic() - started_s, 1),
        "settings": dict(taken[0].method.settings),
        "observed": _observed([measurement.observed for measurement in taken if measurement.observed]),
    }


def calibrate(day: Day, mode: Mode, precision: Precision) -> Mapping[str, Any]:
    """Networks measured end to end: each predicted by the rows, by a line, and by a calibration of the others."""
    table = day.table(mode, precision)
    pool = [network_spec(varied_genotype(day.space, seed)) for seed in range(20 if day.small else POOL)]
    networks = choose(table, pool, day.networks, BASIS)
    measurements = day.agent(mode, precision).measure(networks=networks, effort=day.effort(1.5 * len(networks)))
    timed = [TimedNetwork.of(network, measurements[network.digest], BASIS) for network in networks]
    held_out = [
        Calibrated(table, [other for other in timed if other is not network], BASIS).predict(network.network)
        for network in timed
    ]
    card = error_card(
        [network_us(table, network, BASIS) for network in networks],
        held_out,
        timed,
        max(measurement.measured_at for measurement in measurements.values()),
    )
    kernels = [len(measurement.kernels) for measurement in measurements.values() if measurement.kernels]
    return {
        "card": card.model_dump(mode="json"),
        "measured_us": [round(network.measured_us, 1) for network in timed],
        "kernels": kernels,
    }


def repeat(day: Day, mode: Mode, precision: Precision) -> Mapping[str, Any]:
    """A second table in a process of its own: how far its rows are from the first one's, relative."""
    first = day.table(mode, precision)
    second, _ = _table(day, mode, precision)
    apart = [abs(latency_us(second[row.operation], BASIS) / latency_us(row, BASIS) - 1) for row in first.rows]
    return {"median": round(statistics.median(apart), 5), "p95": round(float(np.quantile(apart, 0.95)), 5)}


def nvml(day: Day) -> Mapping[str, Any]:
    """What the driver says of the GPU while a matrix product runs on it; on a CPU there is nothing to ask."""
    inspected = inspect_device(day.device)
    if inspected.device.kind == "cpu":
        return {"gpu": None}
    monitor = GpuMonitor(inspected.device.uuid)
    before = monitor.read()
    left = torch.randn(4096, 4096, device=day.device)
    until_s = time.monotonic() + 2
    while time.monotonic() < until_s:
        left @ left
        torch.cuda.synchronize()
    return {
        "driver": monitor.driver(),
        "clock_policy": monitor.clock_policy(),
        "power_limit_w": monitor.power_limit_w(),
        "idle": before._asdict(),
        "busy": monitor.read()._asdict(),
    }


def search_step(day: Day, sampling: str) -> Mapping[str, Any]:
    """A step of the search at full size: seconds, peak memory, and GPU-hours of a search of the usual length."""
    proxy, images = SMALL if day.small else FULL
    if day.small:
        proxy, images = Space(height=64, width=128, channels=2), 2
    device = torch.device(day.device)
    batch = (
        torch.randn(images, 3, proxy.height, proxy.width, device=device),
        torch.randint(proxy.classes, (images, proxy.height, proxy.width), device=device),
    )
    step = our_step(proxy, batch, "hard" if sampling == "hard" else "soft")
    step()  # allocates, and chooses algorithms
    taken_s = [_seconds(step, device) for _ in range(1 if day.small else 4)]
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    steps = SearchSettings().steps
    return {
        "seconds": round(statistics.median(taken_s), 4),
        "peak_memory_gib": None if memory is None else round(memory / 2**30, 2),
        "gpu_hours": round(statistics.median(taken_s) * steps / 3600, 3),
        "steps": steps,
        "batch": [images, 3, proxy.height, proxy.width],
    }


def parts(day: Day) -> dict[str, Part]:
    """All parts, what tells most first. A mode whose precision the doctor refused tells its reason at once."""
    pairs: Sequence[tuple[Mode, Precision]] = (
        ("pytorch-graph", "fp32"),
        ("tensorrt-rtx", "fp16"),
        ("tensorrt", "fp16"),
        ("pytorch", "fp32"),
        ("tensorrt-rtx", "fp32"),
        ("tensorrt", "fp32"),
        ("pytorch-graph", "fp16"),
        ("pytorch", "fp16"),
    )
    first = pairs[0]
    if day.device == "cpu":
        pairs, first = (("pytorch", "fp32"),), ("pytorch", "fp32")
    table = {f"table {mode} {precision}": _profiled(mode, precision) for mode, precision in pairs}
    networks = {f"networks {mode} {precision}": _calibrated(mode, precision) for mode, precision in pairs[:3]}
    names = [name for pair in zip(table, networks, strict=False) for name in pair]
    by_name = {**table, **networks}
    return {
        "doctor": Part(60, doctor),
        "nvml": Part(20, nvml),
        **{name: by_name[name] for name in names[:4]},
        f"repeat {' '.join(first)}": Part(60, partial(repeat, mode=first[0], precision=first[1])),
        "search step, soft": Part(60, partial(search_step, sampling="soft")),
        "search step, hard": Part(40, partial(search_step, sampling="hard")),
        **{name: by_name[name] for name in (*names[4:], *table) if name not in names[:4]},
        "tests": Part(60, tests),
    }


def _profiled(mode: Mode, precision: Precision) -> Part:
    return Part(90, partial(profile, mode=mode, precision=precision))


def _calibrated(mode: Mode, precision: Precision) -> Part:
    return Part(90, partial(calibrate, mode=mode, precision=precision))


def _table(day: Day, mode: Mode, precision: Precision) -> tuple[LatencyTable, dict[str, Measurement]]:
    agent = day.agent(mode, precision)
    measurements = agent.measure(day.operations, effort=day.effort(20))
    return agent.table(day.operations, measurements), measurements


def _observed(states: Sequence[Observed]) -> dict[str, Any]:
    """Medians of what was observed over the measurements of a table."""
    numbers: dict[str, list[float]] = {}
    for state in states:
        for name, value in state.model_dump(exclude_none=True).items():
            if isinstance(value, (int, float)):
                numbers.setdefault(name, []).append(float(value))
    return {name: round(statistics.median(values), 4) for name, values in numbers.items()}


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    started_s = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started_s
