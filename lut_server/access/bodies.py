"""Bodies are bounded before anything parses them: bytes, time, and depth."""

import asyncio
import re

from starlette.types import Message, Receive

from lut_server.errors import Malformed, TooLarge, TooSlow, Unprocessable

MAX_DEPTH = 32
READ_WITHIN_S = 60.0

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_QUOTED = re.compile(rb'"[^"]*"')
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'[]{}"')


async def read_body(receive: Receive, declared: bytes | None, limit: int) -> bytes:
    """The whole body, whether its length was declared or not; what is too large is not read to its end.

    Raises:
        TooLarge, TooSlow, Malformed: it is larger than `limit` bytes, takes too long, or breaks off.
        Unprocessable: it nests too deep, or has NUL characters, which PostgreSQL cannot keep.
    """
    if declared is not None and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(f"{int(declared[:20])} bytes", limit)
    try:
        body = await asyncio.wait_for(_read(receive, limit), READ_WITHIN_S)
    except asyncio.TimeoutError as error:
        raise TooSlow(f"the body did not arrive within {READ_WITHIN_S:g} s") from error
    if is_deeper(body, MAX_DEPTH):
        raise Unprocessable(f"the body is not JSON, or nests deeper than {MAX_DEPTH} levels")
    if b"\\u0000" in body and _NUL.search(body):
        raise Unprocessable("the body has NUL characters (\\u0000); leave them out")
    return body


def replaying(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body at once, and then whatever comes after it."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def is_deeper(body: bytes, depth: int) -> bool:
    """Whether JSON nests deeper than `depth`; so does what is not balanced. No byte is looked at in Python."""
    if body.count(b"[") + body.count(b"{") <= depth:
        return False
    if b"\\" in body:
        body = _ESCAPED.sub(b"", body)
    structure = body.translate(_ONE_KIND, _NOT_STRUCTURE)
    structure = _QUOTED.sub(b"", structure.replace(b'""', b""))
    for removed in range(depth):
        if b"[" * (depth - removed + 1) in structure:
            return True
        structure = structure.replace(b"[]", b"")
    return bool(structure)


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Malformed("the body broke off")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(f"more than {limit} bytes", limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(said: str, limit: int) -> TooLarge:
    return TooLarge(
        f"the body has {said}, this resource takes {limit}; send less at once", headers={"Connection": "close"}
    )
