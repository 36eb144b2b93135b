"""Two server processes over one PostgreSQL: neither job nor result is handled twice, and each sees the other's."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from latency_tables.client import LutClient
from latency_tables.contract import Completion
from tests.support.factories import CPU, lease_request, measurement, operation, profile, report
from tests.support.processes import Server

AGENTS = 12
JOBS = 40

pytestmark = [pytest.mark.process, pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]


@pytest.fixture
def servers(database_url: str, tmp_path: Path) -> Iterator[list[Server]]:
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(Server(database_url, tmp_path / name))
    for server in servers:
        server.launch()
    for server in servers:
        server.wait()
    yield servers
    for server in servers:
        server.kill()


def test_no_job_is_done_twice(servers: list[Server]) -> None:
    done: list[UUID] = []

    def agent(number: int) -> None:
        by = report(f"cpu-{number}")
        with LutClient(servers[number % 2].url, retry_for_s=20) as client:
            client.register_device(by)
            while len(done) < JOBS:
                lease = client.claim(lease_request(by, wait_s=0.2))
                if lease is None:
                    continue
                for key in lease.remaining:
                    client.put_measurement(measurement(lease, key, by))
                client.complete(lease.id, lease.token, Completion())
                done.append(lease.job.id)

    with LutClient(servers[0].url) as client:
        for number in range(JOBS):
            client.submit_job(profile(operation(number + 1)))
    with ThreadPoolExecutor(AGENTS) as agents:
        for finished in [agents.submit(agent, number) for number in range(AGENTS)]:
            finished.result()
    with LutClient(servers[1].url) as client:
        assert Counter(done) == Counter(job.id for job in client.jobs("done"))
        assert len(done) == JOBS
        assert all(job.attempts == 1 for job in client.jobs())
        assert Counter(one.key for one in client.measurements()) == Counter(
            operation(number + 1).digest for number in range(JOBS)
        )


def test_each_sees_what_the_other_stored_and_one_may_die(servers: list[Server]) -> None:
    by = report()
    with LutClient(servers[0].url, cache=False) as one, LutClient(servers[1].url, cache=False) as two:
        one.register_device(by)
        job = two.submit_job(profile(operation(8)))
        lease = one.claim(lease_request(by, wait_s=5))
        assert lease is not None
        assert servers[0].end(signal.SIGKILL) < 0
        two.put_measurements([measurement(lease, key, by) for key in lease.remaining])
        done = two.complete(lease.id, lease.token, Completion())
        assert (done.id, done.state) == (job.id, "done")
        servers[0].start()
        assert one.newest_table("cpu-1", "small", CPU).id == done.table_id


def test_another_process_newest_table_is_seen_in_time(servers: list[Server]) -> None:
    """Each remembers the newest table for a moment only."""
    by = report()
    with LutClient(servers[0].url, cache=False) as one, LutClient(servers[1].url, cache=False) as two:
        one.register_device(by)
        for channels in (8, 16):
            one.submit_job(profile(operation(channels)))
            lease = one.claim(lease_request(by))
            assert lease is not None
            one.put_measurements([measurement(lease, key, by) for key in lease.remaining])
            done = one.complete(lease.id, lease.token, Completion())
            assert one.newest_table("cpu-1", "small", CPU).id == done.table_id, "who built it knows at once"
            time.sleep(1.1)
            assert two.newest_table("cpu-1", "small", CPU).id == done.table_id
