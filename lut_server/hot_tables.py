"""Tables that were just read are answered again without routing, validation, thread or database.

Searches and dashboards poll the same few tables: those answers are kept as they went out, by path and query.
Whatever is not here takes the ordinary route, which puts its answer here.
"""

import itertools
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

from starlette.types import ASGIApp, Receive, Scope, Send

MAX_BYTES = 128 * 2**20
MAX_ANSWERS = 1024
NEWEST_FOR_S = 0.25  # another process may have built a newer table: that long it may go unseen here


@dataclass(frozen=True)
class HotAnswer:
    """A table as it goes out; without `body` it can only say that nothing changed."""

    path: bytes
    query: bytes
    etag: str
    cache_control: str
    media_type: str
    body: bytes | None

    def is_known(self, if_none_match: str | None) -> bool:
        """Whether a request has this entity already (RFC 9110, weak comparison)."""
        if if_none_match is None or if_none_match == self.etag:
            return if_none_match is not None
        items = {item.strip().removeprefix("W/") for item in if_none_match.split(",")}
        return self.etag in items or "*" in items

    @cached_property
    def unchanged(self) -> list[tuple[bytes, bytes]]:
        """Headers of a 304."""
        return [(b"etag", self.etag.encode()), (b"cache-control", self.cache_control.encode())]

    @cached_property
    def full(self) -> list[tuple[bytes, bytes]]:
        """Headers of a 200."""
        length = str(len(self.body or b"")).encode()
        return [*self.unchanged, (b"content-type", self.media_type.encode()), (b"content-length", length)]


class HotTables:
    """Bounded; the least recently asked for leaves first. Only `built` may be called outside the event loop."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[bytes, bytes], tuple[HotAnswer, float, int]] = OrderedDict()
        self._bytes = 0
        self._count = itertools.count(1)
        self.generation = 0

    def built(self) -> None:
        """A table was built: what was the newest may not be it any more."""
        self.generation = next(self._count)

    def get(self, path: bytes, query: bytes) -> HotAnswer | None:
        kept = self._answers.get((path, query))
        if kept is None:
            return None
        answer, fresh_until, generation = kept
        if fresh_until and (generation != self.generation or fresh_until < time.monotonic()):
            self._drop((path, query))
            return None
        self._answers.move_to_end((path, query))
        return answer

    def put(self, answer: HotAnswer, generation: int, for_s: float = 0) -> None:
        """Keep an answer for ever, or `for_s` and while `generation` (of before it was read) lasts."""
        size = len(answer.body or b"")
        if size > MAX_BYTES // 4:
            return
        key = (answer.path, answer.query)
        self._drop(key)
        self._answers[key] = (answer, for_s and time.monotonic() + for_s, generation)
        self._bytes += size
        while self._bytes > MAX_BYTES or len(self._answers) > MAX_ANSWERS:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: tuple[bytes, bytes]) -> None:
        kept = self._answers.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept[0].body or b"")


class AnswerHotTables:
    """ASGI middleware before the routes, behind the gate: whoever comes here may read."""

    def __init__(self, app: ASGIApp, tables: HotTables) -> None:
        self.app = app
        self._tables = tables

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            answer = self._tables.get(scope.get("raw_path", b""), scope["query_string"])
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
