"""What this machine is: a device, and the environment that it measures in."""

import os
import platform
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pynvml
import torch

from latency_tables.contract import Device, Environment, Observed, sha256
from profiler_agent.errors import AgentMustStop
from profiler_agent.machine.allocator import allocator
from profiler_agent.machine.clocks import read_cpu_clocks
from profiler_agent.machine.gpu_monitor import GpuMonitor


class Machine(NamedTuple):
    """The device that a task names. `gpu` is None on a CPU, and where the driver has no NVML for the GPU."""

    torch_device: torch.device
    device: Device
    environment: Environment
    gpu: GpuMonitor | None

    def observed(self, name: str) -> Observed:
        """The state of the device over the blocks of a workload or reference."""
        return self.gpu.observed(name) if self.gpu else Observed(clocks=read_cpu_clocks().state)


def inspect(device: str, libraries: Mapping[str, str | None]) -> Machine:
    """The machine with `device` (cpu, cuda:N or auto); its environment has the versions of installed `libraries`.

    Raises:
        AgentMustStop: the device is not here.
    """
    torch_device = find_device(device)
    others = {name: text for name, text in libraries.items() if text and name not in Environment.model_fields}
    software: dict[str, object] = {
        "os": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version for name, version in libraries.items() if name in Environment.model_fields},
        "libraries": others or None,
    }
    if torch_device.type == "cpu":
        software |= {"allocator": allocator(), "clock_policy": read_cpu_clocks().policy}
        return Machine(torch_device, _cpu(), Environment.model_validate(software), None)
    gpu = _gpu(torch_device)
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    software |= {
        "allocator": "torch caching",
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
    }
    monitor = None
    with suppress(pynvml.NVMLError):
        monitor = GpuMonitor(gpu.uuid)
        software |= {
            "driver": monitor.driver(),
            "power_limit_w": monitor.power_limit_w(),
            "clock_policy": monitor.clock_policy(),
        }
    return Machine(torch_device, gpu, Environment.model_validate(software), monitor)


def find_device(name: str) -> torch.device:
    """The torch device of `cpu`, `cuda:N` or `auto` (the first GPU, or the CPU if there is none).

    Raises:
        AgentMustStop: it is not here.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise AgentMustStop(f"device={name!r}: give cpu, cuda:0 or auto") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise AgentMustStop(f"device={name!r}: give cpu, cuda:0 or auto")
    if not torch.cuda.is_available():
        built = torch.version.cuda is not None
        why = "torch finds no NVIDIA driver or GPU" if built else "this torch is built without CUDA"
        raise AgentMustStop(f"device={name!r}: {why}; take cpu")
    if (device.index or 0) >= torch.cuda.device_count():
        raise AgentMustStop(f"device={name!r}: there are {torch.cuda.device_count()} GPUs, counted from cuda:0")
    return torch.device("cuda", device.index or 0)


def _gpu(device: torch.device) -> Device:
    properties = torch.cuda.get_device_properties(device)
    return Device(
        uuid=f"GPU-{properties.uuid}",
        kind="cuda",
        vendor="NVIDIA",
        name=properties.name,
        memory_bytes=properties.total_memory,
        cores=properties.multi_processor_count,
        compute_capability=f"{properties.major}.{properties.minor}",
    )


def _cpu() -> Device:
    facts = _cpu_facts()
    name = facts.get("model name") or facts.get("Model") or platform.processor() or platform.machine()
    return Device(
        uuid=f"CPU-{sha256(f'{_machine_id()} {name}')[:32]}",
        kind="cpu",
        vendor=facts.get("vendor_id") or facts.get("CPU implementer") or "unknown",
        name=name,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cores=os.cpu_count() or 1,
        cpu_flags=tuple(sorted((facts.get("flags") or facts.get("Features") or "").split())),
    )


def _cpu_facts() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _machine_id() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with suppress(OSError):
            text = Path(path).read_text().strip()
            if text:
                return text
    return f"{platform.node()} {uuid.getnode():x}"
