"""Answers with tables, cached by path and query in front of the routes: no routing, validation, thread or query.

The reason is speed: reading a table is to reach 0.8 of the requests per second of a bare FastAPI route, a 304 0.9 of a
bare 304 (`python -m benchmarks.reads`; docs/results.md). Searches and dashboards poll the same few tables. A request
that is not cached takes the ordinary route, which caches its answer here.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

MAX_BYTES = 128 * 2**20
MAX_ANSWERS = 1024
NEWEST_FOR_S = 1.0  # a newer table of another process may go unnoticed here for this long

Target = tuple[bytes, bytes]
"""Raw path and query of a request."""


def knows(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this entity already (RFC 9110, weak comparison)."""
    if if_none_match is None or if_none_match == etag:
        return if_none_match is not None
    etags = {text.strip().removeprefix("W/") for text in if_none_match.split(",")}
    return etag in etags or "*" in etags


@dataclass(frozen=True)
class HotAnswer:
    """An answer with a table of a device (by uuid); without `body` it can only be sent as a 304."""

    device: str
    etag: str
    cache_control: str
    media_type: str
    body: bytes | None

    def is_known(self, if_none_match: str | None) -> bool:
        """Whether a request has this entity already (RFC 9110, weak comparison)."""
        return knows(if_none_match, self.etag)

    @cached_property
    def unchanged(self) -> list[tuple[bytes, bytes]]:
        """Headers of a 304."""
        return [(b"etag", self.etag.encode()), (b"cache-control", self.cache_control.encode())]

    @cached_property
    def full(self) -> list[tuple[bytes, bytes]]:
        """Headers of a 200."""
        length = str(len(self.body or b"")).encode()
        return [*self.unchanged, (b"content-type", self.media_type.encode()), (b"content-length", length)]


class _Entry(NamedTuple):
    """A cached answer. `read_at_s` is taken before the query. `refresh` is None for an immutable answer."""

    answer: HotAnswer
    read_at_s: float
    refresh: "_Refresh | None"


class _Refresh(NamedTuple):
    """How to read an answer again; it is fresh for `for_s`."""

    if_none_match: str | None
    read: Callable[[], Awaitable[HotAnswer]]
    for_s: float


class HotTables:
    """A bounded cache: the least recently used entry goes first. Only `built` and `last` may be called from threads."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Target, _Entry] = OrderedDict()
        self._bytes = 0
        self._built_s: dict[str, float] = {}
        self._readings: dict[tuple[Target, str | None], asyncio.Task[_Entry]] = {}

    def built(self, device: str) -> None:
        """Note that a table of this device was stored: its newest one may be another now."""
        self._built_s[device] = time.monotonic()

    def get(self, target: Target) -> HotAnswer | None:
        """The cached answer if it is fresh. In the second half of its lifetime it is refreshed in the background."""
        entry = self._answers.get(target)
        if entry is None:
            return None
        if entry.refresh is not None:
            age_s = time.monotonic() - entry.read_at_s
            if age_s >= entry.refresh.for_s or self._is_outdated(entry):
                return None
            if age_s >= entry.refresh.for_s / 2:
                self._reading(target, entry.refresh.if_none_match, entry.refresh.read, entry.refresh.for_s)
        self._answers.move_to_end(target)
        return entry.answer

    def last(self, target: Target) -> HotAnswer | None:
        """The last answer, fresh or not."""
        entry = self._answers.get(target)
        return entry.answer if entry else None

    async def read(
        self,
        target: Target,
        if_none_match: str | None,
        read: Callable[[], Awaitable[HotAnswer]],
        for_s: float | None = None,
    ) -> HotAnswer:
        """Read an answer and cache it. Concurrent requests for the same target share one query."""
        while True:
            entry = await asyncio.shield(self._reading(target, if_none_match, read, for_s))
            if not self._is_outdated(entry):
                return entry.answer

    def _reading(
        self,
        target: Target,
        if_none_match: str | None,
        read: Callable[[], Awaitable[HotAnswer]],
        for_s: float | None,
    ) -> asyncio.Task[_Entry]:
        key = (target, if_none_match)
        reading = self._readings.get(key)
        if reading is None:
            refresh = None if for_s is None else _Refresh(if_none_match, read, for_s)
            reading = asyncio.create_task(self._read(target, read, refresh))
            self._readings[key] = reading
            reading.add_done_callback(partial(self._done, key))
        return reading

    def _done(self, key: tuple[Target, str | None], reading: asyncio.Task[_Entry]) -> None:
        del self._readings[key]
        if not reading.cancelled():
            reading.exception()  # marks it as seen: a background refresh that fails is tried again by the next request

    async def _read(self, target: Target, read: Callable[[], Awaitable[HotAnswer]], refresh: _Refresh | None) -> _Entry:
        read_at_s = time.monotonic()
        entry = _Entry(await read(), read_at_s, refresh)
        size = len(entry.answer.body or b"")
        if size <= MAX_BYTES // 4:
            self._drop(target)
            self._answers[target] = entry
            self._bytes += size
            while self._bytes > MAX_BYTES or len(self._answers) > MAX_ANSWERS:
                self._drop(next(iter(self._answers)))
        return entry

    def _is_outdated(self, entry: _Entry) -> bool:
        """Whether this process stored a table of that device after the query began."""
        return entry.refresh is not None and self._built_s.get(entry.answer.device, 0.0) >= entry.read_at_s

    def _drop(self, target: Target) -> None:
        entry = self._answers.pop(target, None)
        if entry is not None:
            self._bytes -= len(entry.answer.body or b"")


class AnswerHotTables:
    """ASGI middleware behind the gate: a request that arrives here may read."""

    def __init__(self, app: ASGIApp, tables: HotTables) -> None:
        self.app = app
        self._tables = tables

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            answer = self._tables.get(target_of(scope))
            if answer is not None:
                if_none_match = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
                unchanged = if_none_match is not None and answer.is_known(if_none_match.decode("latin-1"))
                if unchanged or answer.body is not None:
                    scope["hot"] = True
                    status, headers = (304, answer.unchanged) if unchanged else (200, answer.full)
                    await send({"type": "http.response.start", "status": status, "headers": headers})
                    await send({"type": "http.response.body", "body": b"" if unchanged else answer.body})
                    return
        await self.app(scope, receive, send)


def target_of(scope: Scope) -> Target:
    return scope.get("raw_path", b""), scope["query_string"]
