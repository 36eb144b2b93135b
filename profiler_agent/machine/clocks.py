"""Are the clocks of this machine's cores held? From /sys, which a container or a virtual machine often lacks."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple


class CpuClocks(NamedTuple):
    """The governors of the cores that this process may use, whether turbo is on, whether a core has one frequency only.

    None: the machine does not say.
    """

    governors: tuple[str, ...]
    turbo: bool | None
    one_frequency: bool | None

    @property
    def policy(self) -> str | None:
        """For the environment of a measurement."""
        parts = [f"governor {'+'.join(self.governors)}"] if self.governors else []
        if self.turbo is not None:
            parts.append(f"turbo {'on' if self.turbo else 'off'}")
        return ", ".join(parts) or None

    @property
    def state(self) -> Literal["locked", "not locked"] | None:
        if self.one_frequency:
            return "locked"
        if self.turbo or (self.governors and self.governors != ("performance",)):
            return "not locked"
        return "locked" if self.governors and self.turbo is False else None


def read_cpu_clocks(sys: Path = Path("/sys")) -> CpuClocks:
    """The clocks as Linux shows them in its folder `sys`."""
    cpu = sys / "devices/system/cpu"
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    folders = [cpu / f"cpu{core}/cpufreq" for core in cores]
    governors = {_read(folder / "scaling_governor") for folder in folders} - {None}
    limits = [(_read(folder / "scaling_min_freq"), _read(folder / "scaling_max_freq")) for folder in folders]
    known_limits = [(low, high) for low, high in limits if low is not None and high is not None]
    no_turbo, boost = _read(cpu / "intel_pstate/no_turbo"), _read(cpu / "cpufreq/boost")
    turbo = None if boost is None else boost == "1"
    return CpuClocks(
        governors=tuple(sorted(governor for governor in governors if governor)),
        turbo=turbo if no_turbo is None else no_turbo == "0",
        one_frequency=all(low == high for low, high in known_limits) if known_limits else None,
    )


def _read(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text().strip()
    return None
