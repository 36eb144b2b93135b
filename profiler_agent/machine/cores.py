"""Which cores measure: the fast kind, one thread of each, the last of them (interrupts favour the first)."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

CORES = "LUT_AGENT_CORES"
"""The variable of the environment that names the cores to measure on, as Linux writes them: 0-3,8."""

SLOWER = 0.8
"""A core of less than this share of the fastest one's capacity or frequency is of a slower kind."""


class Cores(NamedTuple):
    """The cores that this process may use: those of the fast kind and of slower ones, and the threads of each core.

    `siblings` has, by core, the lowest number among the threads that share it.
    """

    fast: tuple[int, ...]
    slow: tuple[int, ...]
    siblings: Mapping[int, int]

    def choose(self, threads: int) -> tuple[int, ...]:
        """So many: of the fast kind, and a core of its own for each thread, as far as there are."""
        chosen: list[int] = []
        for kind in (self.fast, self.slow):
            firsts = {self.siblings.get(core, core): core for core in reversed(kind)}
            own = sorted(firsts.values())
            seconds = sorted(set(kind) - set(own))
            chosen += [*reversed(own), *reversed(seconds)]
        return tuple(sorted(chosen[:threads]))


def read_cores(sys: Path = Path("/sys")) -> Cores:
    """From Linux' folder `sys`; all are one kind where it does not say."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    fast = _fast(cores, sys)
    return Cores(
        fast=tuple(core for core in cores if core in fast),
        slow=tuple(core for core in cores if core not in fast),
        siblings={core: min(_siblings(core, sys), default=core) for core in cores},
    )


def numbers(text: str) -> tuple[int, ...]:
    """The cores of a list as Linux writes it, 0-3,8. Raises ValueError."""
    cores: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cores |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(cores))


def ranges(cores: Sequence[int]) -> Iterator[str]:
    """As Linux writes them: 0-3,8."""
    for _, group in groupby(enumerate(cores), lambda pair: pair[1] - pair[0]):
        first, *others = (core for _, core in group)
        yield f"{first}-{others[-1]}" if others else f"{first}"


def keep_to(text: str) -> None:
    """Keep this process and those that it starts to the cores of a list.

    Raises:
        ValueError: it is no list of cores, or this machine does not let this process use them.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError(f"cores={text!r}: this system does not let a process choose its cores; leave it out")
    try:
        cores = numbers(text)
        os.sched_setaffinity(0, cores)
    except (ValueError, OSError) as error:
        available = ",".join(ranges(sorted(os.sched_getaffinity(0))))
        raise ValueError(f"cores={text!r}: not cores of this process; give some of {available}, like 0-3,8") from error


def _fast(cores: Sequence[int], sys: Path) -> set[int]:
    with suppress(OSError, ValueError):  # hybrid x86
        performance = set(numbers((sys / "devices/cpu_core/cpus").read_text()))
        if performance & set(cores):
            return performance
    folder = sys / "devices/system/cpu"
    for file in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):  # big.LITTLE, and where only frequencies tell
        speeds = {core: _value(folder / f"cpu{core}" / file) for core in cores}
        most = max(speeds.values(), default=0)
        if most and all(speeds.values()):
            return {core for core, speed in speeds.items() if speed >= SLOWER * most}
    return set(cores)


def _siblings(core: int, sys: Path) -> tuple[int, ...]:
    with suppress(OSError, ValueError):
        return numbers((sys / f"devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text())
    return ()


def _value(path: Path) -> int:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return 0
