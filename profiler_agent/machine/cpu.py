"""What a CPU is called, and which machine it is in."""

import os
import platform
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from latency_tables.contract import Device, sha256
from profiler_agent.errors import AgentMustStop

DEVICE_ID = "LUT_DEVICE_ID"
"""The variable of the environment that has a device's identity where it was given, or kept by the agent."""

MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))

# JEDEC's codes as the kernel shows them (arch/arm64/include/asm/cputype.h), and the cores of boards and clouds.
IMPLEMENTERS = {
    0x41: "ARM",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x50: "Applied Micro",
    0x51: "Qualcomm",
    0x53: "Samsung",
    0x56: "Marvell",
    0x61: "Apple",
    0x69: "Intel",
    0x6D: "Microsoft",
    0xC0: "Ampere",
}
CORES = {
    (0x41, 0xB76): "ARM1176",
    (0x41, 0xC07): "Cortex-A7",
    (0x41, 0xC09): "Cortex-A9",
    (0x41, 0xC0F): "Cortex-A15",
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
    (0x51, 0x001): "Oryon",
    (0xC0, 0xAC3): "Ampere-1",
    (0xC0, 0xAC4): "Ampere-1a",
}

_NOT_OF_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f<>\"'`;\\]+")
_MACHINE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
"""machine-id(5); images of clones have an empty one, or "uninitialized"."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class CpuFacts(NamedTuple):
    """What /proc/cpuinfo says of the first processor, and of the machine around all of them."""

    processor: Mapping[str, str]
    machine: Mapping[str, str]
    parts: frozenset[tuple[int, int]]
    """Implementer and part of every kind of ARM core."""


def read_cpu(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Device:
    """The CPU of this machine as a device.

    Raises:
        AgentMustStop: the identity that was given for it is none.
    """
    facts = read_facts(proc)
    name = cpu_name(facts, proc, sys)
    return Device(
        uuid=given_id() or f"CPU-{sha256(f'{machine_id()} {name}')[:32]}",
        kind="cpu",
        vendor=cpu_vendor(facts),
        name=name,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cores=os.cpu_count() or 1,
        cpu_flags=tuple(sorted(set((facts.processor.get("flags") or facts.processor.get("Features") or "").split()))),
    )


def cpu_name(facts: CpuFacts, proc: Path, sys: Path) -> str:
    """The model of the CPU; where there is none, as on ARM, of the board, of the cloud's machine, or of its cores."""
    cores = " + ".join(sorted(core for core in map(_core_name, facts.parts) if core))
    board = facts.machine.get("Model") or facts.machine.get("machine") or _text(proc / "device-tree/model")
    cloud = _text(sys / "devices/virtual/dmi/id/product_name")
    candidates = (
        facts.processor.get("model name"),
        facts.processor.get("Model Name"),
        board,
        facts.processor.get("cpu"),
        facts.processor.get("uarch"),
        f"{cores} ({cloud})" if cores and cloud else cores,
        platform.processor(),
        platform.machine(),
        "CPU",
    )
    return next(name for name in map(_as_name, candidates) if name)


def cpu_vendor(facts: CpuFacts) -> str:
    implementers = sorted({IMPLEMENTERS.get(code, hex(code)) for code, _ in facts.parts})
    return _as_name(facts.processor.get("vendor_id") or " + ".join(implementers)) or "unknown"


def read_facts(proc: Path = Path("/proc")) -> CpuFacts:
    """Empty where there is no /proc/cpuinfo."""
    try:
        text = (proc / "cpuinfo").read_text(errors="replace")
    except OSError:
        return CpuFacts({}, {}, frozenset())
    paragraphs = [dict(_entries(paragraph)) for paragraph in text.strip().split("\n\n")]
    processors = [entries for entries in paragraphs if "processor" in entries] or paragraphs[:1]
    # Some kernels have the machine's entries in the last processor's paragraph.
    machine = {name: value for entries in paragraphs for name, value in entries.items()}
    pairs = ((entries.get("CPU implementer"), entries.get("CPU part")) for entries in processors)
    parts = frozenset((_number(implementer), _number(part)) for implementer, part in pairs if implementer and part)
    return CpuFacts(processors[0], machine, parts)


def given_id() -> str | None:
    """The identity that was given for this device, or None. Raises as `checked_id` does."""
    return checked_id(os.environ.get(DEVICE_ID))


def checked_id(id: str | None) -> str | None:
    """An identity without white space around it; None for none. Raises AgentMustStop for one that is none."""
    id = (id or "").strip()
    if id and not _ID.fullmatch(id):
        raise AgentMustStop(
            f"device-id={id!r}: not an identity; give up to 100 letters, digits, dots, dashes and underscores, "
            "beginning with a letter or digit"
        )
    return id or None


def machine_id() -> str:
    return known_machine_id() or f"{platform.node()} {uuid.getnode():x}"


def known_machine_id() -> str | None:
    """What tells this machine from others and stays; None in most containers, whose host name is another each time."""
    for path in MACHINE_IDS:
        text = _text(path)
        if text and _MACHINE_ID.fullmatch(text):
            return text
    return None


def _entries(paragraph: str) -> Iterator[tuple[str, str]]:
    for line in paragraph.splitlines():
        name, _, value = line.partition(":")
        if value.strip():
            yield name.strip(), value.strip()


def _core_name(part: tuple[int, int]) -> str:
    return CORES.get(part, f"{IMPLEMENTERS.get(part[0], hex(part[0]))} core {part[1]:#x}")


def _number(text: str) -> int:
    with suppress(ValueError):
        return int(text, 0)
    return 0


def _as_name(text: str | None) -> str:
    return " ".join(_NOT_OF_A_NAME.sub(" ", text or "").split())[:300]


def _text(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text(errors="replace").strip("\x00 \n\t") or None
    return None
