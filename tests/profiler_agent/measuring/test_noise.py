"""What scatter and the machine's state mean, on traces and folders made for it; and `profiler-agent noise` itself."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from latency_tables.contract import NOISY_REL, Device, Environment, Observed
from profiler_agent.agent.noise_report import findings, show_noise, verdict
from profiler_agent.agent.state import lock_device
from profiler_agent.doubt import Block, Doubt
from profiler_agent.machine.clocks import CpuClocks, read_cpu_clocks
from profiler_agent.machine.environment import inspect
from profiler_agent.measuring.noise import clock_step_and_cost_s, noise_rel, reference_noise, take_rounds
from profiler_agent.measuring.trace import Entry, Trace
from profiler_agent.messages import Noise, ReferenceNoise
from tests.support.agents import WAIT_S


def trace(scatter: float = 0.0, offset: float = 0.0) -> Trace:
    """Two references in three processes: one is still; of the other blocks scatter, and processes are apart."""
    random = np.random.default_rng(0)
    entries = []
    for number in range(300):
        process = number % 3
        moved = 1000 * math.exp(random.normal(0, scatter) + offset * process)
        doubt = Doubt.DISTURBED if number < 30 else Doubt.NONE
        for name, latency_us in (("still", 50.0), ("moved", moved)):
            entries.append(Entry(name, number, process, number / 10, latency_us, doubt, kept=True))
    return Trace.of((), ("still", "moved"), entries)


def test_scatter_within_and_between_processes_is_told_apart() -> None:
    still, moved = reference_noise(trace(scatter=0.02))
    assert (still.between_blocks_rel, still.between_processes_rel) == (0, 0)
    assert moved.between_blocks_rel == pytest.approx(2 * 0.6745 * 0.02, rel=0.25)
    assert moved.between_processes_rel < 0.01
    assert (moved.blocks, moved.disturbed) == (300, 30)
    _, apart = reference_noise(trace(offset=0.05))
    assert apart.between_blocks_rel == 0
    assert apart.between_processes_rel == pytest.approx(0.1, rel=0.05)


def test_the_noise_of_a_job_is_that_of_its_worst_reference_over_all_processes() -> None:
    assert noise_rel(trace()) == 0
    assert noise_rel(trace(scatter=0.02)) == pytest.approx(0.027, rel=0.25)
    assert noise_rel(trace(offset=0.05)) == pytest.approx(0.1, rel=0.1)
    assert noise_rel(Trace.of(("key",), (), [])) is None


def noise(scatter: float = 0.001, **changes: object) -> Noise:
    reference = ReferenceNoise(
        name="reference-bandwidth",
        blocks=90,
        disturbed=3,
        median_us=20_000,
        between_blocks_rel=scatter,
        between_processes_rel=0.001,
    )
    fields = {
        "seconds": 6,
        "processes": 3,
        "references": (reference,),
        "clock_step_s": 1e-9,
        "clock_cost_s": 2e-7,
        "block_s": 0.005,
        "steal_share": 0.0,
        "wait_share": 0.0,
        "involuntary_switches": 3,
        "others_cores": 0.01,
        "cores": 2,
        "observed": Observed(),
    }
    return Noise.model_validate({**fields, **changes})


def test_the_verdict_follows_the_worst_reference() -> None:
    assert verdict(noise(0.01)).startswith("Quiet")
    assert verdict(noise(0.03)).startswith("Usable")
    assert verdict(noise(NOISY_REL * 1.1)).startswith("Noisy: reference-bandwidth scatters by 5.5%")


def test_a_quiet_machine_has_no_findings_and_what_is_not_known_is_none() -> None:
    assert list(findings(noise(), "cpu")) == []
    assert list(findings(noise(wait_share=None, others_cores=None, cores=None), "cpu")) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observed": Observed(clocks="not locked")}, "Clocks are not locked. As root: cpupower"),
        ({"observed": Observed(foreign_processes=2)}, "2 other processes are on the GPU"),
        ({"observed": Observed(power_capped=True)}, "power limit"),
        ({"steal_share": 0.05}, "hypervisor took 5.0%"),
        ({"wait_share": 0.05}, "kept the measuring cores for 5.0%"),
        ({"others_cores": 1.4}, "kept 1.4 of 2 cores busy"),
        ({"clock_step_s": 1e-4}, "clock is coarse"),
    ],
)
def test_each_trouble_is_named_alone(changes: dict[str, object], message: str) -> None:
    (finding,) = findings(noise().model_copy(update=changes), "cpu")
    assert message in finding


def test_the_report_of_a_gpu_shows_its_state_and_says_what_is_not_known() -> None:
    device = Device(uuid="GPU-1", kind="cuda", vendor="NVIDIA", name="Titan", memory_bytes=1, cores=30)
    console = Console(record=True, width=120, file=open(os.devnull, "w"))  # noqa: SIM115
    observed = Observed(clocks="not locked", sm_mhz=1404, foreign_processes=0)
    environment = Environment(os="Linux", python="3.11")
    show_noise(console, device, environment, noise(processes=1, observed=observed, wait_share=None))
    text = console.export_text()
    for line in (
        "clocks: not locked (no policy to be read here)",
        "other processes on the GPU: 0",
        "SM clock: 1404 MHz",
        "temperature: not known",
        "waiting for a core: not known",
        "nvidia-smi -lgc",
    ):
        assert line in text


def test_rounds_visit_every_reference_in_every_process() -> None:
    visited: list[tuple[str, int]] = []

    def takes(name: str, process: int) -> Block:
        visited.append((name, process))
        return Block(1.0)

    drawn = take_rounds({name: lambda process, name=name: takes(name, process) for name in "ab"}, 3, seconds=0)  # type: ignore[misc]
    assert {pair: visited.count(pair) for pair in set(visited)} == {(name, at): 6 for name in "ab" for at in range(3)}
    assert drawn.reference_names == ("a", "b")
    assert [int(count) for count in np.bincount(drawn.process)] == [12, 12, 12]


class Ticking:
    """A clock that reads multiples of 0.5 µs, and 2 or 2.5 µs for nothing."""

    block_s = 0.002

    def __init__(self) -> None:
        self._calls = 0

    def time_s(self, execute: object, executions: int) -> float:
        del execute, executions
        self._calls += 1
        return 2e-6 if self._calls % 3 else 2.5e-6


def test_the_step_and_the_cost_of_a_clock() -> None:
    step_s, cost_s = clock_step_and_cost_s(Ticking())
    assert step_s == pytest.approx(0.5e-6)
    assert cost_s == pytest.approx(2e-6)


def sys_folder(folder: Path, governor: str | None = None, no_turbo: str | None = None, **per_core: str) -> Path:
    cpu = folder / "devices/system/cpu"
    for core in os.sched_getaffinity(0):
        frequencies = cpu / f"cpu{core}/cpufreq"
        frequencies.mkdir(parents=True)
        for name, value in {**per_core, **({"scaling_governor": governor} if governor else {})}.items():
            (frequencies / name).write_text(f"{value}\n")
    if no_turbo is not None:
        (cpu / "intel_pstate").mkdir()
        (cpu / "intel_pstate/no_turbo").write_text(f"{no_turbo}\n")
    return folder


def test_what_sys_tells_of_the_clocks(tmp_path: Path) -> None:
    assert read_cpu_clocks(tmp_path) == CpuClocks((), None, None)
    assert read_cpu_clocks(tmp_path).state is None
    assert read_cpu_clocks(tmp_path).policy is None
    free = read_cpu_clocks(sys_folder(tmp_path / "free", "powersave", "0"))
    assert (free.state, free.policy) == ("not locked", "governor powersave, turbo on")
    held = read_cpu_clocks(sys_folder(tmp_path / "held", "performance", "1"))
    assert (held.state, held.policy) == ("locked", "governor performance, turbo off")
    half = read_cpu_clocks(sys_folder(tmp_path / "half", "performance"))
    assert half.state is None, "whether turbo is on cannot be seen"
    pinned = sys_folder(tmp_path / "pinned", "userspace", scaling_min_freq="2000000", scaling_max_freq="2000000")
    assert read_cpu_clocks(pinned).state == "locked"


def run_noise(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "profiler_agent", "noise", "--seconds", "1", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_S)


@pytest.mark.process
def test_the_command_measures_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUT_LOCK_DIR", str(tmp_path))
    ended = run_noise("--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    for line in ("bandwidth", "clock: steps of", "steal: ", "others' load: "):
        assert line in ended.stdout
    assert any(word in ended.stdout for word in ("Quiet: ", "Usable: ", "Noisy: "))


@pytest.mark.process
def test_the_command_fails_only_where_nothing_can_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = run_noise("--device", "cuda:99")
    assert (absent.returncode, "cuda:99" in absent.stderr) == (1, True)
    monkeypatch.setenv("LUT_LOCK_DIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    lock = lock_device(inspect("cpu", {}).device.uuid)
    busy = run_noise("--device", "cpu")
    lock.release()
    assert (busy.returncode, "another agent measures" in busy.stderr) == (2, True)
