"""What every mode asks of the device: threads, and precisions that its hardware has."""

import os

import torch

from latency_tables.contract import Runtime
from profiler_agent.errors import JobFailed
from profiler_agent.machine.quota import read_quota


def require_runtime(runtime: Runtime, device: torch.device) -> None:
    """Check precision and threads against a device, whatever the mode.

    Raises:
        JobFailed: the device does not have them.
    """
    precision, threads = runtime.precision, runtime.threads
    if device.type == "cpu":
        if precision == "tf32":
            raise JobFailed("precision 'tf32': CPUs have none; take fp32")
        if threads and threads > available_cores():
            quota = " (a CPU quota: docker's --cpus, say)" if read_quota() else ""
            raise JobFailed(f"threads={threads}: this agent may use {available_cores()} cores{quota}")
        return
    if threads is not None:
        raise JobFailed(f"threads={threads}: threads are for CPUs; leave it out on a GPU")
    capability = torch.cuda.get_device_capability(device)
    if precision in ("tf32", "bf16") and capability < (8, 0):
        raise JobFailed(f"precision {precision!r}: needs compute capability 8.0, this GPU has {capability}")


def available_cores() -> int:
    """The cores that this process may use: whole ones, where a container's quota gives it less than it sees."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = read_quota()
    return min(cores, max(1, int(quota.cores))) if quota else cores
