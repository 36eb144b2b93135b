"""What the benchmarks share: processes to measure, a load generator that is not the bottleneck, and the report."""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import uvloop
from rich.console import Console
from rich.table import Table

from latency_tables.client import LutClient
from latency_tables.contract import Completion, DeviceSelector, LatencyTable
from tests.support.databases import execute, postgresql_server
from tests.support.factories import lease_request, measurement, operation, profile, report

ROWS = 100
console = Console(width=100)


def options(description: str, seconds: float) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=seconds, help=f"how long to measure (default {seconds:g})")
    return parser.parse_args()


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def finish(result: Mapping[str, Any]) -> None:
    """The figures, as the last line of the output."""
    print(json.dumps(result), flush=True)


@contextmanager
def sqlite_url(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'lut.sqlite'}"


@contextmanager
def postgresql_url(folder: Path) -> Iterator[str]:  # noqa: ARG001
    with postgresql_server() as url:
        execute(url, "CREATE DATABASE bench")
        yield url.set(database="bench").render_as_string(hide_password=False)


DATABASES = {"sqlite": sqlite_url, "postgresql": postgresql_url}


@contextmanager
def bare(app: str, environment: Mapping[str, str], folder: Path) -> Iterator[int]:
    """An application under uvicorn, with the options of the server; its port."""
    command = [sys.executable, "-m", "uvicorn", app, "--port", "0", "--no-access-log", "--log-level", "info"]
    log = folder / f"{app}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        give_up_at = time.monotonic() + 30
        while "running on http" not in (lines := log.read_text()):
            assert process.poll() is None, lines
            assert time.monotonic() < give_up_at, lines
            time.sleep(0.05)
        yield int(lines.split("running on http://127.0.0.1:")[1].split()[0])
    finally:
        process.kill()
        process.wait()


def request(path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class _Caller(asyncio.Protocol):
    """Repeats a request as soon as it is answered. Every answer must have the first one's length."""

    def __init__(self, request: bytes, status: int) -> None:
        self._request = request
        self._status = status
        self._length = 0
        self._first = b""
        self._left = 0
        self.answers = 0
        self.stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._length:
            self._first += data
            if b"\r\n\r\n" not in self._first:
                return
            self._length = answer_length(self._first, self._status)
            data, self._left = self._first, self._length
        self._left -= len(data)
        if self._left == 0 and not self.stopped:
            self.answers += 1
            self._left = self._length
            self._transport.write(self._request)
        elif self._left < 0:
            raise ValueError("an answer of another length")

    def close(self) -> None:
        self._transport.close()


def answer_length(data: bytes, status: int) -> int:
    """Bytes of an answer with headers, by its Content-Length.

    Raises:
        ValueError: it has another status.
    """
    head = data.split(b"\r\n\r\n", 1)[0]
    lines = head.lower().split(b"\r\n")
    if int(lines[0].split()[1]) != status:
        raise ValueError(f"expected {status}: {head.decode()}")
    lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
    return len(head) + 4 + (lengths[0] if lengths else 0)


def per_second(port: int, request: bytes, status: int, seconds: float, connections: int = 32) -> float:
    """Answers per second, to `connections` callers. Each caller waits for an answer before its next request."""

    async def run() -> float:
        loop = asyncio.get_running_loop()
        callers = [
            (await loop.create_connection(lambda: _Caller(request, status), "127.0.0.1", port))[1]
            for _ in range(connections)
        ]
        await asyncio.sleep(0.2)
        before, started = sum(caller.answers for caller in callers), time.perf_counter()
        await asyncio.sleep(seconds)
        answers, took = sum(caller.answers for caller in callers) - before, time.perf_counter() - started
        for caller in callers:
            caller.stopped = True
            caller.close()
        assert answers, "no answers"
        return answers / took

    return uvloop.run(run())


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The median over rounds of ours by theirs: what disturbs one round disturbs both of its figures."""
    return statistics.median(ours / theirs for ours, theirs in pairs)


def build_table(client: LutClient) -> LatencyTable:
    """A table of ROWS rows, measured by a device of its own."""
    by = report("bench-table", "Bench")
    client.register_device(by)
    client.submit_job(
        profile(*(operation(channels + 1) for channels in range(ROWS)), device=DeviceSelector(uuid="bench-table"))
    )
    lease = client.claim(lease_request(by))
    assert lease is not None
    client.put_measurements([measurement(lease, key, by) for key in lease.remaining])
    done = client.complete(lease.id, lease.token, Completion())
    assert done.table_id is not None
    return client.table(done.table_id)
