"""Ctrl-C and SIGTERM: noticed at once, acted on only where nothing is left half done."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """The agent was asked to stop while it waited. Not an error, hence not an Exception."""


class StopSignal:
    """Takes over SIGINT and SIGTERM; install it in the main thread.

    Inside `interrupts()` a signal raises Stopped, inside `calling()` it calls; elsewhere it waits for the next of them.
    """

    def __init__(self) -> None:
        self._requested = False
        self._interrupts = False
        self._call: Callable[[], None] | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """Around a wait that a signal may interrupt anywhere. Raises Stopped, also if the signal came before."""
        self._interrupts = True
        try:
            if self._requested:
                raise Stopped
            yield
        finally:
            self._interrupts = False

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Around work that ends itself when `call` was called, also if the signal came before."""
        self._call = call
        try:
            if self._requested:
                call()
            yield
        finally:
            self._call = None

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True
        if self._interrupts:
            self._interrupts = False  # a second signal must not interrupt the clean-up
            raise Stopped
        if self._call:
            self._call()
