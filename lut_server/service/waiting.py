"""Agents that wait for work: one query looks for all of them, so that a thousand cost as much as one."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

LOOK_EVERY_S = 0.5


class WaitingRoom:
    """Devices that wait; `look` (blocking) returns those for which there may be work now.

    Waiting holds neither a thread nor a connection to the database. Once `stopping` returns True, all waits end.
    """

    def __init__(self, look: Callable[[Collection[str]], Collection[str]], stopping: Callable[[], bool]) -> None:
        self._look = look
        self._stopping = stopping
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._watch: asyncio.Task[None] | None = None

    async def wait(self, device: str, timeout_s: float) -> None:
        """Return when there may be work, or the time is over."""
        work = asyncio.get_running_loop().create_future()
        self._waiting[device].add(work)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_queue())
        try:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(work, timeout_s)
        finally:
            self._waiting[device].discard(work)
            if not self._waiting[device]:
                del self._waiting[device]

    async def _watch_queue(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK_EVERY_S)
            devices = list(self._waiting)
            if not self._stopping():
                # If the database cannot be read, all waits end; their own queries then fail with the reason.
                with suppress(SQLAlchemyError, OSError):
                    devices = list(await run_in_threadpool(self._look, devices))
            for device in devices:
                for work in self._waiting.get(device, ()):
                    if not work.done():
                        work.set_result(None)
