"""Processes to measure in on a CPU: forked from one that has imported torch and done nothing else.

So a job imports torch once for all of its workers. Where the kernel is Linux, memory is laid out alike in all of them.
"""

import ctypes
import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing import context, forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

_IMPORTED_ONCE = "profiler_agent.measuring.remote_worker"
_ADDR_NO_RANDOMIZE = 0x0040000

_FORKS = "forkserver" in multiprocessing.get_all_start_methods()
_CONTEXT: "context.ForkServerContext | context.SpawnContext" = (
    multiprocessing.get_context("forkserver") if _FORKS else multiprocessing.get_context("spawn")
)


def be_ready_to_fork() -> None:
    """Start what workers are forked from, which then imports torch, unless it runs already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE)  # holds for what is executed from now on
    if _FORKS:
        forkserver.set_forkserver_preload([_IMPORTED_ONCE])
        forkserver.ensure_running()


def start(serve: Callable[[str, Connection], None], task: str) -> tuple[BaseProcess, Connection]:
    """Run `serve(task, connection)` in a process of its own; the process, and the other end of the connection.

    Raises OSError or EOFError where no process can be started.
    """
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=serve, args=(task, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours
