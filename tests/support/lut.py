"""A real server over HTTP in a thread of the test, its clock in the test's hands."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import httpx
import uvicorn
from starlette.types import ASGIApp

from latency_tables.client import LutClient
from latency_tables.contract import Completion, DeviceReport, Job, JobRequest, LatencyTable, Lease
from tests.support import factories


class Clock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2025, 6, 1, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Lut:
    """A server with its client, and an agent's steps in short."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.clock = clock
        self.client = LutClient(url, timeout_s=60, retry_for_s=60, cache=False)
        self.http = httpx.Client(base_url=url, trust_env=False, verify=False, timeout=60)

    def claim(self, by: DeviceReport) -> Lease:
        lease = self.client.claim(factories.lease_request(by))
        assert lease is not None, "no job to claim"
        return lease

    def finish(self, lease: Lease, by: DeviceReport, median_us: float = 100.0) -> Job:
        for key in lease.remaining:
            self.client.put_measurement(factories.measurement(lease, key, by, median_us))
        return self.client.complete(lease.id, lease.token, Completion())

    def run_job(self, request: JobRequest, by: DeviceReport, median_us: float = 100.0) -> Job:
        self.client.register_device(by)
        self.client.submit_job(request)
        return self.finish(self.claim(by), by, median_us)

    def build_table(self, request: JobRequest, by: DeviceReport, median_us: float = 100.0) -> LatencyTable:
        job = self.run_job(request, by, median_us)
        assert job.table_id is not None
        return self.client.table(job.table_id)


class _Prompt(uvicorn.Server):
    """Ends at once: uvicorn waits two tenths of a second, which adds up over hundreds of tests."""

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0.01)
        await self.lifespan.shutdown()


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The URL of an app that is served in a thread."""
    server = _Prompt(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
