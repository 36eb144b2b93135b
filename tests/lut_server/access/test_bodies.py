import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lut_server.access.bodies import MAX_DEPTH, is_deeper
from lut_server.routes.devices import NOUN
from tests.support.factories import report
from tests.support.lut import Lut

words = st.text(st.sampled_from('ab[]{}"\\/\n\u00e9\U0001f600'), max_size=6)
values = st.recursive(
    st.none() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=30,
)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@given(values, st.integers(0, 8), st.booleans(), st.none() | st.just(1))
def test_depth_is_what_a_parser_finds(value: Any, depth: int, ascii: bool, indent: int | None) -> None:
    body = json.dumps(value, ensure_ascii=ascii, indent=indent).encode()
    assert is_deeper(body, depth) == (_depth(value) > depth)


@given(st.binary(max_size=300))
def test_no_bytes_break_it(body: bytes) -> None:
    is_deeper(body, 2)


def test_a_long_body_is_read_quickly_enough_to_be_refused() -> None:
    assert is_deeper(b"[" * 16_000_000, MAX_DEPTH)
    assert not is_deeper(b"[" + b'["a\\n[",{"b":"]"}],' * 500_000 + b"1]", MAX_DEPTH)


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_sqlite
def test_too_large_is_refused_whether_declared_or_in_chunks(lut: Lut) -> None:
    body = report().model_dump_json().encode()
    large = body[:-1] + b" " * NOUN.max_bytes + b"}"
    headers = {"Content-Type": "application/json"}

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(large), 10_000):
            yield large[start : start + 10_000]

    for content in (large, chunks()):
        answer = lut.http.put("/v1/devices/cpu-1", content=content, headers=headers)
        assert answer.status_code == 413, answer.text
        assert str(NOUN.max_bytes) in answer.json()["detail"]
    assert lut.client.devices() == []
    small = lut.http.put("/v1/devices/cpu-1", content=iter([body[:5], body[5:]]), headers=headers)
    assert small.status_code == 200


@on_sqlite
def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(lut: Lut) -> None:
    host, port = lut.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(
            b"PUT /v1/devices/cpu-1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999\r\n\r\n{"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
