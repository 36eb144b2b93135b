"""The CPU quota of a container or a service (cgroups): how much it may use, and how long it was stopped for that."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Quota(NamedTuple):
    """`cores`: CPU time in a second, in seconds. `throttled_s`: running total of the time that it was stopped."""

    cores: float
    throttled_s: float | None


def read_quota(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> Quota | None:
    """The tightest quota on this process, of cgroups 1 or 2; None without one."""
    quotas = [quota for folder in _folders(proc, cgroups) if (quota := _quota(folder))]
    return min(quotas, key=lambda quota: quota.cores, default=None)


def _folders(proc: Path, cgroups: Path) -> list[Path]:
    """The process's own group and those around it; in a container its group may be the root that it sees."""
    folders: list[Path] = []
    with suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                roots = [cgroups, cgroups / "unified"]
            elif "cpu" in controllers.split(","):
                roots = [cgroups / "cpu", cgroups / controllers]
            else:
                continue
            for root in roots:
                inner = root / path.lstrip("/")
                folders += [inner, *(folder for folder in inner.parents if folder.is_relative_to(root))]
    return list(dict.fromkeys(folders))


def _quota(folder: Path) -> Quota | None:
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else Quota(int(quota) / int(period), _stat(folder, "throttled_usec", 1e-6))
    with suppress(OSError, ValueError):
        limit_us = int((folder / "cpu.cfs_quota_us").read_text())
        period_us = int((folder / "cpu.cfs_period_us").read_text())
        return Quota(limit_us / period_us, _stat(folder, "throttled_time", 1e-9)) if limit_us > 0 else None
    return None


def _stat(folder: Path, name: str, unit_s: float) -> float | None:
    with suppress(OSError, ValueError):
        for line in (folder / "cpu.stat").read_text().splitlines():
            key, value = line.split()
            if key == name:
                return int(value) * unit_s
    return None
