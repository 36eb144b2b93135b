"""Which allocator measures, and that it keeps big buffers: on a CPU it is part of the latency."""

import os
import platform
from pathlib import Path

# glibc gives large buffers back to the system after each use and the page faults that follow are measured too;
# an inference process keeps them. M_MMAP_THRESHOLD cannot exceed 32 MiB, so mapping is off altogether.
KEEP_BUFFERS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**62), "MALLOC_TOP_PAD_": str(2**26)}


def allocator() -> str:
    """The allocator of this process, from the environment that it was started with."""
    preloaded = [Path(part).name for part in os.environ.get("LD_PRELOAD", "").replace(":", " ").split()]
    others = [name for name in preloaded if "malloc" in name]
    if others:
        return "+".join(others)
    name, release = platform.libc_ver()
    if name != "glibc":
        return "system"
    kept = all(os.environ.get(key) == value for key, value in KEEP_BUFFERS.items())
    return f"glibc {release}, buffers {'kept' if kept else 'as set by the user'}"
