"""Agents that wait for work: one query at a time looks for all of them, so that a thousand cost what one costs."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

LOOK_EVERY_S = 0.5


class WaitingRoom:
    """Devices that wait; `look` says (blocking) for which of them there may be work now.

    Nothing is held while waiting: neither a thread nor a connection to the database. Once `stopping` says so,
    everybody is sent home.
    """

    def __init__(self, look: Callable[[Collection[str]], Collection[str]], stopping: Callable[[], bool]) -> None:
        self._look = look
        self._stopping = stopping
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._watch: asyncio.Task[None] | None = None

    async def wait(self, device: str, timeout_s: float) -> None:
        """Return when there may be work, or the time is over."""
        called = asyncio.get_running_loop().create_future()
        self._waiting[device].add(called)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_queue())
        try:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(called, timeout_s)
        finally:
            self._waiting[device].discard(called)
            if not self._waiting[device]:
                del self._waiting[device]

    async def _watch_queue(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_EVERY_S)
            devices = list(self._waiting)
            if not self._stopping():
                # Where the database cannot be read, all of them ask it themselves, and are told so.
                with suppress(SQLAlchemyError, OSError):
                    devices = list(await run_in_threadpool(self._look, devices))
            for device in devices:
                for called in self._waiting.get(device, ()):
                    if not called.done():
                        called.set_result(None)
