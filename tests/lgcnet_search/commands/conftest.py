"""A real server for the commands; an agent of the test answers with made-up latencies."""

import threading
from collections.abc import Iterator

import pytest

from latency_tables.client import LutClient
from latency_tables.contract import Completion
from tests.support import factories
from tests.support.commands import AGENT
from tests.support.processes import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL. An agent measures whatever jobs ask for: operations 10 µs, networks a tenth more than their sum."""
    stop = threading.Event()

    def work(url: str) -> None:
        with LutClient(url) as client:
            client.register_device(AGENT)
            while not stop.is_set():
                lease = client.claim(factories.lease_request(AGENT, wait_s=0.2))
                if lease is None:
                    continue
                networks = {network.digest: network for network in lease.job.request.networks}
                for key in lease.remaining:
                    latency_us = 11.0 * sum(counted.count for counted in networks[key].operations) if networks else 10.0
                    client.put_measurement(factories.measurement(lease, key, AGENT, latency_us))
                client.complete(lease.id, lease.token, Completion())

    with serving(tmp_path_factory.mktemp("server")) as running:
        with LutClient(running.url) as client:
            client.register_device(AGENT)
        thread = threading.Thread(target=work, args=[running.url])
        thread.start()
        yield running.url
        stop.set()
        thread.join()
