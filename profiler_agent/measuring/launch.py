"""Turns this process into another one that is fit to measure in: `python launch.py PARENT COMMAND...`.

Where the kernel is Linux, memory is laid out alike in all of them, and none outlives its parent: a worker that is still
building reads no orders, and would not notice that nobody is there any more. Both are asked of the kernel by the
process itself, because code that runs between fork and exec (`preexec_fn`) may deadlock where the parent has threads.

Run as a file, with -I -S, so that it starts in milliseconds; it imports the standard library only.
"""

import ctypes
import os
import signal
import sys

_ADDR_NO_RANDOMIZE = 0x0040000
_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.personality(_ADDR_NO_RANDOMIZE)  # holds from the next exec on
        if os.getppid() != parent:  # it had ended before the kernel was asked
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
