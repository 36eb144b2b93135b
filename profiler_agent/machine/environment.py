"""What this machine is: a device, and the environment that it measures in."""

import platform
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import pynvml
import torch

from latency_tables.contract import Device, Environment, Observed
from profiler_agent.errors import AgentMustStop
from profiler_agent.machine.allocator import allocator
from profiler_agent.machine.clocks import read_cpu_clocks
from profiler_agent.machine.cores import ranges, read_cores
from profiler_agent.machine.cpu import given_id, known_machine_id, read_cpu
from profiler_agent.machine.gpu_monitor import GpuMonitor
from profiler_agent.machine.quota import read_quota


class Machine(NamedTuple):
    """The device that a task names. `gpu` is None on a CPU, and where the driver has no NVML for the GPU.

    `remarks` are for people: what about this machine spoils latencies, whatever is measured.
    """

    torch_device: torch.device
    device: Device
    environment: Environment
    gpu: GpuMonitor | None
    remarks: tuple[str, ...] = ()

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
        cpu = read_cpu()
        return Machine(torch_device, cpu, Environment.model_validate(software), None, _remarks(cpu, None))
    gpu, monitor = _monitored(_gpu(torch_device))
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    software |= {
        "allocator": "torch caching",
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
    }
    if monitor:
        with suppress(pynvml.NVMLError):
            software |= {
                "driver": monitor.driver(),
                "power_limit_w": monitor.power_limit_w(),
                "clock_policy": monitor.clock_policy(),
            }
    return Machine(torch_device, gpu, Environment.model_validate(software), monitor, _remarks(gpu, monitor))


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


def _monitored(gpu: Device) -> tuple[Device, GpuMonitor | None]:
    """A GPU by NVML's name for it, MIG-… for a slice, with its monitor; without one where NVML does not know it."""
    for prefix in ("GPU", "MIG"):
        uuid = f"{prefix}-{gpu.uuid.removeprefix('GPU-')}"
        with suppress(pynvml.NVMLError):
            return gpu.model_copy(update={"uuid": uuid}), GpuMonitor(uuid)
    return gpu, None


def _remarks(device: Device, monitor: GpuMonitor | None) -> tuple[str, ...]:
    """What whoever looks at this machine should know of it before it measures."""
    if device.kind == "cuda":
        not_monitored = (
            "NVML does not know this GPU, so throttling, clocks, power and other processes on it are not monitored"
        )
        return () if monitor else (not_monitored,)
    remarks = []
    cores, quota = read_cores(), read_quota()
    if cores.slow:
        fast, slow = (",".join(ranges(kind)) for kind in (cores.fast, cores.slow))
        remarks.append(f"cores of two kinds: {fast} are fast and measured on, {slow} are slower (--cores takes others)")
    if quota and quota.cores < len(cores.fast) + len(cores.slow):
        remarks.append(
            f"a CPU quota of {quota.cores:g} cores stops this process in the middle of what it measures; give it whole "
            "cores instead (docker run --cpuset-cpus in place of --cpus, AllowedCPUs= in place of CPUQuota=)"
        )
    if known_machine_id() is None and given_id() is None:
        remarks.append(
            "this system has no /etc/machine-id, as most containers: after a restart it would be a new device; keep "
            "the folder of --state-dir, or give --device-id"
        )
    return tuple(remarks)
