"""Hostile values, and every place of a request where one can stand."""

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from lut_server import routes
from lut_server.access.gate import noun_of
from lut_server.nouns import Noun, collect

Place = tuple[str | int, ...]

STRINGS = {
    "SQL": (
        "'; DROP TABLE devices; --",
        '" OR "1"="1',
        "x'); DELETE FROM tokens WHERE ('1'='1",
        "\\'; SELECT pg_sleep(10); --",
    ),
    "HTML": (
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</title><svg/onload=alert(1)>",
    ),
    "NUL, lone surrogates, line breaks": ("a\0b", "\ud800", "a\udfffb", "a\r\nSet-Cookie: x=1"),
    "too long": ("a" * 200_000,),
}
NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400, '"1; DROP TABLE jobs"')
PATHS = (
    "..",
    "../..",
    "../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e",
    "..%5c..%5cwindows",
    "%252e%252e%252f",
    "%00",
    "a%00.json",
    "a%0d%0aSet-Cookie:x",
    "'%20OR%20'1'='1",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "x" * 5000,
    "%ff%fe",
)
_MARK = "@hostile@"
_NOUNS = {noun.name: noun for noun in collect(routes)}


@dataclass(frozen=True)
class Attempt:
    """One request that must be refused; `content` may be bytes or pieces of them."""

    kind: str
    method: str
    path: str
    content: bytes | list[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A valid request; `free` are the places that take any text."""

    operation: str
    method: str
    path: str
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    free: tuple[Place, ...] = ()

    def sent(self, body: Any) -> tuple[str, bytes]:
        """Path and content; where the path holds a digest it is that of this very body."""
        content = json.dumps(body).encode()
        path = self.path
        if "{digest}" in path:
            content_of = {name: value for name, value in body.items() if name not in ("id", "created_at", "warnings")}
            canonical = json.dumps(_without_none(content_of), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            path = path.replace("{digest}", hashlib.sha256(canonical.encode(errors="replace")).hexdigest())
        return path, content


def places(value: Any, kinds: type | tuple[type, ...], at: Place = ()) -> Iterator[Place]:
    """Where values of a kind stand in JSON."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, kinds, (*at, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, kinds, (*at, number))
    elif isinstance(value, kinds) and not (isinstance(value, bool) and kinds is not bool):
        yield at


def changed(body: Any, place: Place, value: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return value
    made = copy.deepcopy(body)
    inside = made
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    return made


def attempts(request: Request) -> Iterator[Attempt]:
    """Everything hostile that fits into a request."""
    base = Attempt("", request.method, request.path, headers={"Content-Type": "application/json", **request.headers})
    for place in places(request.body, str):
        for kind, values in STRINGS.items():
            if place in request.free and kind in ("SQL", "HTML"):
                continue
            for value in values:
                if place in request.free and "\r" in value:
                    continue
                path, content = request.sent(changed(request.body, place, value))
                yield replace(base, kind=kind, path=path, content=content)
    for place in places(request.body, (int, float)):
        for number in NUMBERS:
            path, content = request.sent(changed(request.body, place, _MARK))
            written = content.replace(f'"{_MARK}"'.encode(), number.encode())
            yield replace(base, kind="NaN, infinity, huge numbers", path=path, content=written)
    for name in _objects(request.body):
        path, content = request.sent(changed(request.body, (*name, "surprise"), 1))
        yield replace(base, kind="unknown fields", path=path, content=content)
    path, content = request.sent(request.body)
    for place in ((), *places(request.body, (str, int, float))):
        deep = json.dumps(changed(request.body, place, _MARK)).encode()
        for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
            nested = deep.replace(f'"{_MARK}"'.encode(), opened * 5000 + b"1" + closed * 5000)
            yield replace(base, kind="nested too deep", path=path, content=nested)
    for broken in (b"", b"{", b"null", b"[]", b"NaN", b"\xff\xfe\x00", content[:-1], b"[" * 100_000):
        yield replace(base, kind="not JSON", path=path, content=broken)
    size = _NOUNS.get(noun_of(request.path), Noun("")).max_bytes
    padded = content + b" " * size
    yield replace(base, kind="too large", path=path, content=padded)
    yield replace(
        base, kind="too large", path=path, content=[padded[at : at + 2**20] for at in range(0, len(padded), 2**20)]
    )
    for media_type in (
        "text/plain",
        "text/html",
        "application/xml",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
    ):
        yield replace(
            base,
            kind="header junk",
            path=path,
            content=content,
            headers={**request.headers, "Content-Type": media_type},
        )


def _objects(value: Any, at: Place = ()) -> Iterator[Place]:
    """Objects of the contract: everything but the named scalars of an operation or method."""
    if isinstance(value, dict) and not (at and at[-1] in ("params", "settings", "libraries")):
        yield at
        for name, item in value.items():
            yield from _objects(item, (*at, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _objects(item, (*at, number))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value
