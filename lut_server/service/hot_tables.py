"""Tables that were just read are answered again without routing, validation, thread or database.

Searches and dashboards poll the same few tables: those answers are kept as they went out, by path and query.
Whatever is not here takes the ordinary route, which puts its answer here.
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
NEWEST_FOR_S = 1.0  # another process may have built a newer table: that long it may go unseen here

Place = tuple[bytes, bytes]
"""Raw path and query of a request."""


def knows(if_none_match: str | None, etag: str) -> bool:
    """Whether who asks has this entity already (RFC 9110, weak comparison)."""
    if if_none_match is None or if_none_match == etag:
        return if_none_match is not None
    items = {item.strip().removeprefix("W/") for item in if_none_match.split(",")}
    return etag in items or "*" in items


@dataclass(frozen=True)
class HotAnswer:
    """A table of a device (by uuid) as it goes out; without `body` it can only say that nothing changed."""

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


class _Kept(NamedTuple):
    """`asked_s` is from before the database was read; `question` is None for what holds for ever."""

    answer: HotAnswer
    asked_s: float
    question: "_Question | None"


class _Question(NamedTuple):
    """How to read an answer again; `for_s` is how long it holds."""

    if_none_match: str | None
    read: Callable[[], Awaitable[HotAnswer]]
    for_s: float


class HotTables:
    """Bounded; the least recently asked for leaves first. Only `built` and `last` may be called outside the loop."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Place, _Kept] = OrderedDict()
        self._bytes = 0
        self._built_s: dict[str, float] = {}
        self._readings: dict[tuple[Place, str | None], asyncio.Task[_Kept]] = {}

    def built(self, device: str) -> None:
        """A table of this device was stored: what was its newest may not be it any more."""
        self._built_s[device] = time.monotonic()

    def get(self, place: Place) -> HotAnswer | None:
        """What holds still; what is asked for in the second half of its time is read again meanwhile."""
        kept = self._answers.get(place)
        if kept is None:
            return None
        if kept.question is not None:
            age_s = time.monotonic() - kept.asked_s
            if age_s >= kept.question.for_s or self._is_outdated(kept):
                return None
            if age_s >= kept.question.for_s / 2:
                self._reading(place, kept.question.if_none_match, kept.question.read, kept.question.for_s)
        self._answers.move_to_end(place)
        return kept.answer

    def last(self, place: Place) -> HotAnswer | None:
        """What was answered last, whether it holds still or not."""
        kept = self._answers.get(place)
        return kept.answer if kept else None

    async def read(
        self,
        place: Place,
        if_none_match: str | None,
        read: Callable[[], Awaitable[HotAnswer]],
        for_s: float | None = None,
    ) -> HotAnswer:
        """Read an answer and keep it; who asks the same meanwhile waits for the same reading."""
        while True:
            kept = await asyncio.shield(self._reading(place, if_none_match, read, for_s))
            if not self._is_outdated(kept):
                return kept.answer

    def _reading(
        self,
        place: Place,
        if_none_match: str | None,
        read: Callable[[], Awaitable[HotAnswer]],
        for_s: float | None,
    ) -> asyncio.Task[_Kept]:
        key = (place, if_none_match)
        reading = self._readings.get(key)
        if reading is None:
            question = None if for_s is None else _Question(if_none_match, read, for_s)
            reading = asyncio.create_task(self._read(place, read, question))
            self._readings[key] = reading
            reading.add_done_callback(partial(self._done, key))
        return reading

    def _done(self, key: tuple[Place, str | None], reading: asyncio.Task[_Kept]) -> None:
        del self._readings[key]
        if not reading.cancelled():
            reading.exception()  # whoever waits for it is told; where nobody does, the next request asks again

    async def _read(self, place: Place, read: Callable[[], Awaitable[HotAnswer]], question: _Question | None) -> _Kept:
        asked_s = time.monotonic()
        kept = _Kept(await read(), asked_s, question)
        size = len(kept.answer.body or b"")
        if size <= MAX_BYTES // 4:
            self._drop(place)
            self._answers[place] = kept
            self._bytes += size
            while self._bytes > MAX_BYTES or len(self._answers) > MAX_ANSWERS:
                self._drop(next(iter(self._answers)))
        return kept

    def _is_outdated(self, kept: _Kept) -> bool:
        """Whether this process built a table of that device after the database was asked."""
        return kept.question is not None and self._built_s.get(kept.answer.device, 0.0) >= kept.asked_s

    def _drop(self, place: Place) -> None:
        kept = self._answers.pop(place, None)
        if kept is not None:
            self._bytes -= len(kept.answer.body or b"")


class AnswerHotTables:
    """ASGI middleware before the routes, behind the gate: whoever comes here may read."""

    def __init__(self, app: ASGIApp, tables: HotTables) -> None:
        self.app = app
        self._tables = tables

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            answer = self._tables.get(place_of(scope))
            if answer is not None:
                known = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
                unchanged = known is not None and answer.is_known(known.decode("latin-1"))
                if unchanged or answer.body is not None:
                    scope["hot"] = True
                    status, headers = (304, answer.unchanged) if unchanged else (200, answer.full)
                    await send({"type": "http.response.start", "status": status, "headers": headers})
                    await send({"type": "http.response.body", "body": b"" if unchanged else answer.body})
                    return
        await self.app(scope, receive, send)


def place_of(scope: Scope) -> Place:
    return scope.get("raw_path", b""), scope["query_string"]
