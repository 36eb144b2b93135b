"""CPUs as people have them: boards without a model, kinds of cores, quotas, containers without an identity."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest
import torch

from profiler_agent import __main__ as command
from profiler_agent.agent import state
from profiler_agent.agent.state import keep_device_id
from profiler_agent.errors import AgentMustStop
from profiler_agent.machine import cores, cpu, environment
from profiler_agent.machine.cores import keep_to, numbers, read_cores
from profiler_agent.machine.cpu import cpu_name, cpu_vendor, read_cpu, read_facts
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.machine.quota import Quota, read_quota
from profiler_agent.measuring.workbench import pin
from profiler_agent.messages import Inspected
from profiler_agent.runtimes import requirements

RASPBERRY = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
GRAVITON = "processor\t: 0\nBogoMIPS\t: 243\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
ORION = "".join(
    f"processor : {number}\nCPU implementer : 0x41\nCPU part : {part}\n\n"
    for number, part in enumerate(("0xd05", "0xd0b"))
)
XEON = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: fpu sse\n\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("cpuinfo", "files", "name", "vendor"),
    [
        (XEON, {}, "Intel(R) Xeon(R)", "GenuineIntel"),
        (RASPBERRY + "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n", {}, "Raspberry Pi 4 Model B Rev 1.4", "ARM"),
        (RASPBERRY, {"device-tree/model": "NVIDIA Jetson Orin\x00"}, "NVIDIA Jetson Orin", "ARM"),
        (GRAVITON, {"devices/virtual/dmi/id/product_name": "c6g.large\n"}, "Neoverse-N1 (c6g.large)", "ARM"),
        (GRAVITON, {}, "Neoverse-N1", "ARM"),
        (ORION, {}, "Cortex-A55 + Cortex-A76", "ARM"),
        (RASPBERRY.replace("0xd08", "0xfff"), {}, "ARM core 0xfff", "ARM"),
        ("processor : 0\nuarch : sifive,u74-mc\n", {}, "sifive,u74-mc", "unknown"),
        (RASPBERRY + 'Model : A "board" <b>\x07\n', {}, "A board b", "ARM"),
    ],
)
def test_a_cpu_is_called_as_people_call_it(
    tmp_path: Path, cpuinfo: str, files: dict[str, str], name: str, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "processor", lambda: "")
    write(tmp_path / "cpuinfo", cpuinfo)
    for file, text in files.items():
        write(tmp_path / file, text)
    facts = read_facts(tmp_path)
    assert (cpu_name(facts, tmp_path, tmp_path), cpu_vendor(facts)) == (name, vendor)


def twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An i7-12700: 0-15 are threads of eight performance cores, 16-19 efficiency cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(20)))
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)


def test_the_fast_cores_of_a_hybrid_cpu_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twenty(monkeypatch)
    write(tmp_path / "devices/cpu_core/cpus", "0-15\n")
    for core in range(16):
        pair = f"{core & ~1}-{core | 1}"
        write(tmp_path / f"devices/system/cpu/cpu{core}/topology/thread_siblings_list", pair)
    assert pin(1, tmp_path) == "14"
    assert pin(2, tmp_path) == "12,14"
    assert pin(8, tmp_path) == "0,2,4,6,8,10,12,14"
    assert pin(10, tmp_path) == "0,2,4,6,8,10,12-15"
    assert pin(18, tmp_path) == "0-15,18-19"
    assert pin(None, tmp_path) == "0-19"


@pytest.mark.parametrize(
    ("file", "slow", "fast"),
    [("cpu_capacity", 446, 1024), ("cpufreq/cpuinfo_max_freq", 1_800_000, 2_800_000)],
)
def test_the_fast_cores_of_a_board_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, slow: int, fast: int
) -> None:
    twenty(monkeypatch)
    for core in range(20):
        write(tmp_path / f"devices/system/cpu/cpu{core}" / file, str(fast if core < 6 else slow))
    assert pin(1, tmp_path) == "5"
    assert read_cores(tmp_path).slow == tuple(range(6, 20))


def test_equal_cores_are_taken_from_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twenty(monkeypatch)
    assert pin(2, tmp_path) == "18-19"
    # Turbo of a favoured core is no other kind.
    for core in range(20):
        frequency = 5_000_000 if core == 3 else 4_700_000
        write(tmp_path / f"devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq", str(frequency))
    assert pin(2, tmp_path) == "18-19"


def test_cores_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, given: kept.append(given))
    keep_to("0-1")
    assert kept == [(0, 1)]
    assert numbers("0-3,8") == (0, 1, 2, 3, 8)
    with pytest.raises(ValueError, match="cores='fast': not cores of this process; give some of 0-1"):
        keep_to("fast")


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"a/b/cpu.max": "50000 100000", "a/b/cpu.stat": "throttled_usec 7000000\n"}, Quota(0.5, 7.0)),
        ({"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, Quota(1.5, None)),
        ({"cpu.max": "200000 100000", "a/b/cpu.max": "300000 100000"}, Quota(2.0, None)),
        ({"a/b/cpu.max": "max 100000"}, None),
        ({}, None),
    ],
)
def test_the_tightest_quota_of_cgroups_2_counts(tmp_path: Path, files: dict[str, str], quota: Quota | None) -> None:
    write(tmp_path / "self/cgroup", "0::/a/b\n")
    for file, text in files.items():
        write(tmp_path / "fs" / file, text)
    assert read_quota(tmp_path, tmp_path / "fs") == quota


def test_a_quota_of_cgroups_1_is_found(tmp_path: Path) -> None:
    write(tmp_path / "self/cgroup", "3:cpu,cpuacct:/q\n2:memory:/\n0::/\n")
    group = tmp_path / "fs/cpu,cpuacct/q"
    write(group / "cpu.cfs_period_us", "100000")
    write(group / "cpu.cfs_quota_us", "50000")
    write(group / "cpu.stat", "nr_periods 227\nnr_throttled 224\nthrottled_time 11000000000\n")
    assert read_quota(tmp_path, tmp_path / "fs") == Quota(0.5, 11.0)
    write(group / "cpu.cfs_quota_us", "-1")
    assert read_quota(tmp_path, tmp_path / "fs") is None


def test_a_quota_bounds_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for quota, threads in ((Quota(2.5, None), 2), (Quota(0.5, None), 1), (Quota(64.0, None), 8), (None, 8)):
        monkeypatch.setattr(requirements, "read_quota", lambda quota=quota: quota)
        assert requirements.available_cores() == threads


@pytest.mark.parametrize("text", [None, "", "uninitialized\n", "0" * 32])
def test_a_container_keeps_its_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """Clones share what their image has for one."""
    monkeypatch.setattr(cpu, "MACHINE_IDS", (tmp_path / "machine-id",))
    if text is not None:
        write(tmp_path / "machine-id", text)
    monkeypatch.delenv(cpu.DEVICE_ID, raising=False)
    kept = keep_device_id(tmp_path / "state", None)
    assert kept is not None
    assert kept.startswith("CPU-")
    assert keep_device_id(tmp_path / "state", None) == kept
    monkeypatch.setenv(cpu.DEVICE_ID, kept)
    for host in ("c0ffee000001", "c0ffee000002"):
        monkeypatch.setattr(platform, "node", lambda host=host: host)
        assert read_cpu().uuid == kept


def test_an_identity_can_be_given_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "MACHINE_IDS", (tmp_path / "machine-id",))
    write(tmp_path / "machine-id", f"{'5d2c' * 8}\n")
    assert keep_device_id(tmp_path / "state", None) is None
    with pytest.raises(AgentMustStop, match="device-id='no way': not an identity"):
        keep_device_id(tmp_path / "state", "no way\r")
    assert keep_device_id(tmp_path / "state", None) is None, "what is none is not kept"
    assert keep_device_id(tmp_path / "state", "rack-2.clone-7") == "rack-2.clone-7"
    assert keep_device_id(tmp_path / "state", None) == "rack-2.clone-7"
    monkeypatch.setenv(cpu.DEVICE_ID, "two words")
    with pytest.raises(AgentMustStop, match="device-id='two words': not an identity"):
        read_cpu()


def test_like_devices_have_names_of_their_own() -> None:
    machine = environment.inspect("cpu", {})
    inspected = Inspected(torch_device="cpu", device=machine.device, environment=machine.environment)
    assert command._named(inspected, "rack 2, left", None).device.name == "rack 2, left"
    assert command._named(inspected, None, None) == inspected
    with pytest.raises(ValueError, match="name='<b>'"):
        command._named(inspected, "<b>", None)
    gpu = inspected.model_copy(update={"device": machine.device.model_copy(update={"kind": "cuda"})})
    with pytest.raises(ValueError, match="device-id='x': a GPU has an identity of its own"):
        command._named(gpu, None, "x")


def test_a_slice_of_a_gpu_is_monitored_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = environment.inspect("cpu", {}).device.model_copy(update={"uuid": "GPU-7", "kind": "cuda"})

    def known(_: GpuMonitor, uuid: str) -> None:
        if uuid != "MIG-7":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    monkeypatch.setattr(GpuMonitor, "__init__", known)
    device, monitor = environment._monitored(gpu)
    assert (device.uuid, isinstance(monitor, GpuMonitor)) == ("MIG-7", True)
    device, monitor = environment._monitored(gpu.model_copy(update={"uuid": "GPU-8"}))
    assert (device.uuid, monitor) == ("GPU-8", None)
    assert "not monitored" in environment._remarks(device, None)[0]


@pytest.mark.process
def test_agents_lock_a_device_in_one_place_whatever_their_tmpdir(tmp_path: Path) -> None:
    program = "from profiler_agent.agent.state import lock_device as lock; lock('CPU-test'); print('mine'); input()"
    agents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        settings = {key: value for key, value in os.environ.items() if key != state.LOCK_DIR}
        agents.append(
            subprocess.Popen(
                [sys.executable, "-u", "-c", program],
                env={**settings, "TMPDIR": str(tmp_path / name)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        assert agents[-1].stdout is not None
        said = agents[-1].stdout.readline()
        assert said == ("mine\n" if name == "a" else "")
    for agent in agents:
        agent.communicate("\n")
    assert [agent.returncode for agent in agents] == [0, 1]


def test_cores_are_left_where_a_system_has_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert pin(1) == "not pinned"
    assert len(cores.read_cores().fast) == os.cpu_count()
    with pytest.raises(ValueError, match="leave it out"):
        keep_to("0")
    assert torch.get_num_threads() >= 1
