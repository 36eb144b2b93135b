"""Which allocator measures, and the settings by which it keeps big buffers: on a CPU it is part of the latency."""

import os
import platform
from pathlib import Path

# glibc gives large buffers back to the system after each use and the page faults that follow are measured too;
# an inference process keeps them. M_MMAP_THRESHOLD cannot exceed 32 MiB, so mapping is off altogether. In huge pages
# (glibc 2.35 and newer) an operation's buffers share the caches alike in every process; in small ones they do not.
KEEP_BUFFERS = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**62),
    "MALLOC_TOP_PAD_": str(2**26),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def allocator() -> str:
    """The allocator of this process, from the environment that it was started with."""
    preloaded = [Path(part).name for part in os.environ.get("LD_PRELOAD", "").replace(":", " ").split()]
    replacements = [name for name in preloaded if "malloc" in name]
    if replacements:
        return "+".join(replacements)
    name, release = platform.libc_ver()
    if name != "glibc":
        return "system"
    keeps_buffers = all(os.environ.get(key) == value for key, value in KEEP_BUFFERS.items())
    if not keeps_buffers:
        return f"glibc {release}, buffers as set by the user"
    return f"glibc {release}, buffers kept, {'huge pages' if _has_huge_pages(release) else 'small pages'}"


def _has_huge_pages(release: str) -> bool:
    try:
        is_offered = "[never]" not in HUGE_PAGES.read_text()
    except OSError:
        return False
    return is_offered and tuple(map(int, release.split(".")[:2])) >= (2, 35)
