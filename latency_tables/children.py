"""Child processes end with their parent, also when it is killed."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Called in a child that `multiprocessing` started: it exits when its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def signal_with_parent(number: signal.Signals) -> None:
    """Called in a child before it executes its command (`preexec_fn`): Linux signals it when its parent has ended.

    On other systems nothing happens.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
