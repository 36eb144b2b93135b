"""Bodies are bounded before anything parses them: bytes, time, and depth."""

import asyncio
import re
from itertools import accumulate

from starlette.types import Message, Receive

from lut_server.errors import Malformed, TooLarge, TooSlow, Unprocessable

MAX_DEPTH = 32
READ_WITHIN_S = 60.0

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_QUOTED = re.compile(rb'"[^"]*"')
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_NO_MARKS = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: a level more, a level less


async def read_body(receive: Receive, declared: bytes | None, limit: int) -> bytes:
    """The whole body, whether its length was declared or not. A body that is too large is not read to its end.

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
    """A `receive` that gives the whole body first, and then whatever comes after it."""
    replayed = False

    async def receive_again() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def is_deeper(body: bytes, depth: int) -> bool:
    """Whether JSON nests deeper than `depth`, or has brackets without a partner. Brackets inside texts do not count."""
    marks = _ESCAPED.sub(b"", body).translate(None, _NO_MARKS).replace(b'""', b"")
    steps = memoryview(_QUOTED.sub(b"", marks).translate(_STEPS)).cast("b")
    return sum(steps) != 0 or max(accumulate(steps), default=0) > depth


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


def _too_large(size: str, limit: int) -> TooLarge:
    return TooLarge(
        f"the body has {size}, this resource takes {limit}; send less at once", headers={"Connection": "close"}
    )
