"""Processes that this one starts."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Called in a child: a killed parent must not leave it waiting for work."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
