"""200 agents and 1000 readers at once, and the server killed in the middle: what is lost, doubled, or late?

Agents claim jobs and send results through the client, as a profiling agent does; each result takes about two seconds,
as measuring an operation does: 100 results a second. Readers each ask for the newest table of a device every five
seconds, on a connection of their own and with the ETag of what they have: 200 reads a second. The server (on
PostgreSQL one of two) is killed with SIGKILL in the middle and started again.
"""

import asyncio
import math
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode
from uuid import UUID

import uvloop

from benchmarks._common import (
    DATABASES,
    build_table,
    finish,
    options,
    request,
    show,
)
from latency_tables.client import LutClient, LutError
from latency_tables.contract import Completion, DeviceReport, DeviceSelector, Lease, Progress
from tests.support.factories import lease_request, measurement, operation, profile, report
from tests.support.processes import ENVIRONMENT, Server, make_token

AGENTS = 200
READERS = 1000
READ_EVERY_S = 5.0
MEASURE_S = 2.0
KEYS = 10
Answer = TypeVar("Answer")
SERVERS = {"sqlite": 1, "postgresql": 2}
SETTLE_S = 1.0


@dataclass
class Worked:
    """What the agents did."""

    sent: set[UUID] = field(default_factory=set)
    unexpected: Counter[str] = field(default_factory=Counter)
    jobs: int = 0


@dataclass
class Read:
    """What the readers went through."""

    took: list[tuple[float, float]] = field(default_factory=list)
    """When a read began and how long it took, in seconds."""
    answers: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    down: tuple[float, float] = (math.inf, math.inf)


def main() -> None:
    seconds = options(__doc__ or "", 60).seconds
    results, rows = {}, []
    for name, url_of in DATABASES.items():
        with tempfile.TemporaryDirectory() as folder, url_of(Path(folder)) as url:
            token = make_token(url, "admin")
            servers = []
            for number in range(SERVERS[name]):
                place = Path(folder) / str(number)
                place.mkdir()
                servers.append(Server(url, place, environment=ENVIRONMENT))
                servers[-1].start()
            try:
                worked, read = _run(servers, token, seconds)
                results[name] = _judge(servers[0].url, token, worked, read)
            finally:
                for server in servers:
                    server.kill()
        rows.append(_row(name, worked, read, results[name]))
    columns = ["", "servers", "jobs", "results", "lost", "doubled", "reads", "errors", "p50 ms", "p99 ms", "down s"]
    show(f"{AGENTS} agents, {READERS} readers, {seconds:g} s, SIGKILL and restart in the middle", columns, rows)
    finish(results)


def _run(servers: Sequence[Server], token: str, seconds: float) -> tuple[Worked, Read]:
    """Agents have a process of their own: what their client computes must not show in the readers' times."""
    with LutClient(servers[0].url, token, cache=False) as client:
        build_table(client)
    urls = [server.url for server in servers]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        agents = pool.submit(_agents, urls, token, seconds)
        read = uvloop.run(_readers(servers, token, seconds))
        return agents.result(), read


def _agents(urls: Sequence[str], token: str, seconds: float) -> Worked:
    """A thread for each: all but a few of them wait for the server or for what they measure."""
    stop_at = time.monotonic() + seconds
    with ThreadPoolExecutor(AGENTS) as pool:
        agents = [pool.submit(_agent, urls[number % len(urls)], token, number, stop_at) for number in range(AGENTS)]
    total = Worked()
    for worked in (agent.result() for agent in agents):
        total.sent |= worked.sent
        total.unexpected += worked.unexpected
        total.jobs += worked.jobs
    return total


async def _readers(servers: Sequence[Server], token: str, seconds: float) -> Read:
    read = Read()
    stop_at = time.monotonic() + seconds
    readers = [
        asyncio.create_task(_reader(servers[number % len(servers)].url, token, number, read, stop_at))
        for number in range(READERS)
    ]
    await asyncio.sleep(seconds / 2)
    died = time.monotonic()
    read.down = (died, math.inf)
    servers[-1].end(signal.SIGKILL)
    servers[-1].launch()
    await asyncio.to_thread(servers[-1].wait)
    read.down = (died, time.monotonic() + SETTLE_S)
    await asyncio.gather(*readers)
    return read


def _agent(url: str, token: str, number: int, stop_at: float) -> Worked:
    """Submits a job for its own device, does it, and so on; like an agent it never gives up a result."""
    worked = Worked()
    draw = random.Random(number)
    by = report(f"bench-{number}", f"Bench {number}")
    with LutClient(url, token, timeout_s=10, retry_for_s=60, cache=False) as client:
        time.sleep(draw.random() * 5)  # a fleet does not start in one moment
        _expect(worked, lambda: client.register_device(by))
        channels = 0
        while time.monotonic() < stop_at:
            operations = [operation(channels + part + 1) for part in range(KEYS)]
            request = profile(*operations, device=DeviceSelector(uuid=by.device.uuid))
            channels += KEYS
            _expect(worked, partial(client.submit_job, request))
            lease = _expect(worked, lambda: client.claim(lease_request(by, wait_s=10)))
            if lease is not None:
                _work(client, lease, by, draw, worked)
    return worked


def _work(client: LutClient, lease: Lease, by: DeviceReport, draw: random.Random, worked: Worked) -> None:
    for done, key in enumerate(lease.remaining):
        time.sleep(MEASURE_S * (0.5 + draw.random()))
        result = measurement(lease, key, by, 100 * (1 + draw.random()))
        worked.sent.add(result.id)
        _expect(worked, partial(client.put_measurement, result))
        if draw.random() < 0.05:
            _expect(worked, partial(client.put_measurement, result))  # the receipt was lost on its way
        if done == KEYS // 2:
            _expect(worked, partial(client.renew, lease.id, lease.token, Progress(done=done, total=KEYS)))
    _expect(worked, lambda: client.complete(lease.id, lease.token, Completion()))
    worked.jobs += 1


def _expect(worked: Worked, call: Callable[[], Answer]) -> Answer | None:
    """The answer; an error that the client could not retry away is noted."""
    try:
        return call()
    except LutError as error:
        worked.unexpected[f"{type(error).__name__} {error.status}: {str(error)[:200]}"] += 1
        return None


async def _reader(url: str, token: str, number: int, read: Read, stop_at: float) -> None:
    draw = random.Random(-number)
    host, port = url.removeprefix("http://").split(":")
    query = urlencode({"device": "bench-table", "space": "small", "threads": 1})
    headers = {"Authorization": f"Bearer {token}"}
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    pause_s = draw.random() * READ_EVERY_S
    while time.monotonic() + pause_s < stop_at:
        await asyncio.sleep(pause_s)
        pause_s = READ_EVERY_S * (0.5 + draw.random())
        began = time.monotonic()
        kept = streams is not None
        try:
            streams = streams or await asyncio.open_connection(host, int(port))
            status, etag, again = await _ask(*streams, request(f"/v1/tables/newest?{query}", headers))
        except (OSError, EOFError) as error:
            read.answers["no connection"] += 1
            # A kept connection ends with its server, and only the next request finds that out.
            if not kept and not read.down[0] - SETTLE_S <= began <= read.down[1]:
                read.unexpected[f"reader: {type(error).__name__} while the server was up"] += 1
            streams, pause_s = None, 0.0 if kept else draw.random()
            continue
        read.answers[str(status)] += 1
        if status in (200, 304):
            read.took.append((began, time.monotonic() - began))
            headers["If-None-Match"] = etag
        elif status == 503 and again:
            pause_s = float(again) + draw.random()
        else:
            read.unexpected[f"reader: {status}"] += 1
    if streams:
        streams[1].close()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> tuple[int, str, str]:
    """Status, ETag and Retry-After of an answer; its body is read."""
    writer.write(sent)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    await reader.readexactly(int(fields.get("content-length", 0)))
    return int(lines[0].split()[1]), fields.get("etag", ""), fields.get("retry-after", "")


def _judge(url: str, token: str, worked: Worked, read: Read) -> dict[str, float]:
    with LutClient(url, token, cache=False) as client:
        of_agents = [one.id for one in client.measurements() if one.device != "bench-table"]
    stored = Counter(of_agents)
    unexpected = worked.unexpected + read.unexpected
    for said, count in unexpected.most_common(5):
        print(f"unexpected, {count} times: {said}")
    steady = sorted(took for began, took in read.took if not read.down[0] - SETTLE_S <= began <= read.down[1])
    return {
        "lost": len(worked.sent - stored.keys()),
        "doubled": len(of_agents) - len(stored) + len(stored.keys() - worked.sent),
        "unexpected_errors": sum(unexpected.values()),
        "p99_ms": round(steady[int(len(steady) * 0.99)] * 1000, 1),
        "p50_ms": round(steady[len(steady) // 2] * 1000, 1),
        "results": len(of_agents),
        "reads": len(read.took),
    }


def _row(name: str, worked: Worked, read: Read, result: dict[str, float]) -> list[str]:
    figures = ("results", "lost", "doubled", "reads", "unexpected_errors", "p50_ms", "p99_ms")
    down_s = read.down[1] - read.down[0] - SETTLE_S
    return [name, str(SERVERS[name]), str(worked.jobs), *(str(result[figure]) for figure in figures), f"{down_s:.1f}"]


if __name__ == "__main__":
    main()
