"""Device and Environment of this machine."""

import os
import platform
import uuid
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pynvml
import torch

from latency_tables.contract import Device, Environment, sha256
from profiler_agent.machine.allocator import allocator
from profiler_agent.machine.clocks import read_cpu_clocks
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.machine.gpu_monitor import NoDevice as NoDevice


def find_device(name: str) -> torch.device:
    """The torch device of `cpu`, `cuda:N` or `auto` (the first GPU, or the CPU if there is none).

    Raises:
        NoDevice: it is not here.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise NoDevice(f"device={name!r}: give cpu, cuda:0 or auto") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise NoDevice(f"device={name!r}: give cpu, cuda:0 or auto")
    if not torch.cuda.is_available():
        built = torch.version.cuda is not None
        why = "torch finds no NVIDIA driver or GPU" if built else "this torch is built without CUDA"
        raise NoDevice(f"device={name!r}: {why}; take cpu")
    if (device.index or 0) >= torch.cuda.device_count():
        raise NoDevice(f"device={name!r}: there are {torch.cuda.device_count()} GPUs, counted from cuda:0")
    return torch.device("cuda", device.index or 0)


def inspect(device: torch.device) -> tuple[Device, Environment]:
    """Hardware identity, and software and state, of a device."""
    if device.type == "cpu":
        return _cpu(), _environment(allocator=allocator(), clock_policy=read_cpu_clocks().policy)
    described = _gpu(device)
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    environment = _environment(
        allocator="torch caching", cuda=torch.version.cuda, cudnn=None if cudnn is None else str(cudnn)
    )
    monitor = open_gpu_monitor(described.uuid)
    if monitor is None:
        return described, environment
    state = {
        "driver": monitor.driver(),
        "power_limit_w": monitor.power_limit_w(),
        "clock_policy": monitor.clock_policy(),
    }
    return described, Environment.model_validate({**environment.model_dump(), **state})


def open_gpu_monitor(uuid: str) -> GpuMonitor | None:
    """NVML of a GPU; None where the driver has no NVML for it."""
    with suppress(pynvml.NVMLError):
        return GpuMonitor(uuid)
    return None


def _environment(
    *, allocator: str, cuda: str | None = None, cudnn: str | None = None, clock_policy: str | None = None
) -> Environment:
    return Environment(
        os=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=cuda,
        cudnn=cudnn,
        tensorrt=_version("tensorrt"),
        onnxruntime=_version("onnxruntime-gpu") or _version("onnxruntime"),
        clock_policy=clock_policy,
        allocator=allocator,
    )


def _version(distribution: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(distribution)
    return None


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
