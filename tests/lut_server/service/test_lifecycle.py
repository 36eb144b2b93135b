"""The server as a process: killed, stopped, without disk, without port."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
import uuid6
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from latency_tables.client import LutClient, ServerUnavailable
from latency_tables.contract import Completion, Lease
from lut_server.__main__ import cli
from lut_server.commands import serving
from lut_server.credentials import KeySource
from lut_server.settings import Settings
from tests.support.factories import lease_request, measurement, operation, profile, report
from tests.support.processes import START_S, Server

pytestmark = pytest.mark.process


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(database_url, tmp_path)
    server.start()
    yield server
    server.kill()


def _lease(client: LutClient, count: int) -> Lease:
    client.register_device(report())
    client.submit_job(profile(*(operation(channels + 1) for channels in range(count))))
    lease = client.claim(lease_request(report()))
    assert lease is not None
    return lease


def test_killed_and_started_again_nothing_is_lost_and_nothing_twice(server: Server) -> None:
    with LutClient(server.url, timeout_s=30, retry_for_s=120) as client:
        lease = _lease(client, 150)
        sent = [measurement(lease, key, report()) for key in lease.remaining]
        worker = threading.Thread(target=lambda: [client.put_measurement(result) for result in sent])
        worker.start()
        for enough in (20, 80):
            with LutClient(server.url, retry_for_s=120) as other:
                while len(other.measurements()) < enough:
                    time.sleep(0.02)
            server.end(signal.SIGKILL)
            server.start()
        worker.join()
        assert [result.id for result in client.measurements()] == [result.id for result in sent]
        done = client.complete(lease.id, lease.token, Completion())
        assert done.table_id is not None
        assert len(client.table(done.table_id).rows) == 150


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_it_ends_at_once_although_an_agent_waits(server: Server, number: signal.Signals) -> None:
    answers: list[Lease | None] = []
    with LutClient(server.url) as client:
        registered = client.register_device(report())
        waiting = threading.Thread(target=lambda: answers.append(client.claim(lease_request(report(), wait_s=25))))
        waiting.start()
        while client.device(registered.device.uuid).heartbeat_at == registered.heartbeat_at:
            assert waiting.is_alive(), "the claim has not reached the server"
        assert server.end(number) == 0
        waiting.join()
    assert answers == [None]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_is_503_and_loses_nothing(server: Server, tmp_path: Path) -> None:
    """The kernel refuses the server's writes, as on a full disk, until the limit on file sizes is lifted."""
    with LutClient(server.url) as client, LutClient(server.url, retry_for_s=0) as impatient:
        lease = _lease(client, 40)
        sent = [measurement(lease, key, report()) for key in lease.remaining]
        stored = [client.put_measurement(result) for result in sent[:3]]
        used = max(path.stat().st_size for path in tmp_path.iterdir())
        before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (used, resource.RLIM_INFINITY))
        refused = httpx.put(
            f"{server.url}/v1/measurements/{sent[3].id}", json=sent[3].model_dump(mode="json"), trust_env=False
        )
        assert refused.status_code == 503, refused.text
        assert refused.headers["retry-after"] == "1"
        assert "disk" in refused.json()["detail"]
        with pytest.raises(ServerUnavailable, match="disk"):
            impatient.put_measurements(sent)
        assert len(client.measurements()) == 3, "reading goes on, and nothing is half-written"
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)
        assert client.put_measurements(sent)[:3] == stored
        assert client.complete(lease.id, lease.token, Completion()).state == "done"


def test_the_database_going_away_is_503(tmp_path: Path, postgresql: URL) -> None:
    """Every connection is cut while the server runs: one answer may be 503, then it goes on."""
    name = f"lut_{uuid6.uuid7().hex}"
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    server = Server(postgresql.set(database=name).render_as_string(hide_password=False), tmp_path)
    server.start()
    try:
        with LutClient(server.url) as client:
            client.register_device(report())
            with admin.connect() as connection:
                connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
                connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
                )
                answer = httpx.get(f"{server.url}/v1/devices", trust_env=False)
                assert answer.status_code == 503, answer.text
                assert "retry-after" in answer.headers
                connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
            assert len(client.devices()) == 1
    finally:
        server.end(signal.SIGKILL)
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def test_no_request_waits_until_all_that_is_remembered_was_walked_through() -> None:
    program = """
import gc
from lut_server.commands.serving import _calm_python
_calm_python()
before = gc.get_stats()
large = [[number] for number in range(2_000_000)]
after = gc.get_stats()
print(*(new["collections"] - old["collections"] for new, old in zip(after, before)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    young, middle, full = map(int, done.stdout.split())
    assert young > middle > 0
    assert full == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_line_of_a_log_in_json_is_an_object(database_url: str, tmp_path: Path) -> None:
    server = Server(database_url, tmp_path, arguments=["--log-format", "json"])
    server.start()
    try:
        for path in ("/v1/jobs", "/no/such"):
            httpx.get(f"{server.url}{path}", headers={"X-Request-ID": f"mine-{path[-4:]}"}, trust_env=False)
    finally:
        server.end(signal.SIGTERM)
    greeting, *lines = sorted(server.log.read_text().splitlines(), key=lambda line: line.startswith("{"))
    assert greeting.startswith("lut-server listens on")
    by_request = {line["request_id"]: line for line in map(json.loads, lines) if line["logger"] == "lut_server.access"}
    assert by_request["mine-jobs"]["status"] == 200
    assert by_request["mine-such"]["status"] == 404
    assert by_request["mine-jobs"].keys() >= {"time", "level", "message", "method", "path", "route", "duration_ms"}


def _refused(*arguments: str, **environment: str) -> str:
    """What `serve` says on standard error when it does not start: a line, below those of its log."""
    ended = subprocess.run(
        [sys.executable, "-m", "lut_server", "serve", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    *log, line = ended.stderr.splitlines()
    assert all("INFO" in entry for entry in log)
    return line


def _refused_settings(*arguments: str, **environment: str) -> str:
    """The same of settings, which are refused before anything is begun: in this process."""
    with patch.object(serving, "serve") as begun:
        ended = CliRunner().invoke(cli, ["serve", *arguments], env=environment)
    begun.assert_not_called()
    assert ended.exit_code == 2, ended.output
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    return line


def test_a_port_in_use(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        message = _refused("--port", port, "--data-dir", str(tmp_path))
    assert f"127.0.0.1:{port}" in message
    assert "--port" in message


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY only on a socket that names its protocol."""
    with closing(serving._listen(Settings(URL.create("sqlite"), KeySource(Path()), port=0))) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_data_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (str(tmp_path / "no" / "such"), str(tmp_path / "file"), "/proc/lut"):
        assert folder in _refused_settings("--port", "0", "--data-dir", folder)
    assert not (tmp_path / "no").exists()


def test_settings_that_cannot_work(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert "access tokens" in _refused("--host", "0.0.0.0", "--port", "0", "--data-dir", folder)
    assert "LUT_PORT='http'" in _refused_settings("--data-dir", folder, LUT_PORT="http")
    assert "LUT_DATABASE_URL: not a database URL" in _refused_settings(LUT_DATABASE_URL="x")
    assert "'mysql'" in _refused_settings("--database-url", "mysql://host/x")
    assert "give one of them" in _refused_settings("--database-url", "sqlite:///x", "--data-dir", folder)


def test_a_database_that_is_not_there_or_not_one(tmp_path: Path) -> None:
    secret = "hunter2"
    message = _refused("--port", "0", "--database-url", f"postgresql://lut:{secret}@127.0.0.1:9/lut")
    assert "127.0.0.1:9" in message
    assert secret not in message
    for wrong in (f"postgresql:lut:{secret}@host/lut", f"postgresql://lut:{secret}@host:54x2/lut"):
        message = _refused_settings("--port", "0", "--database-url", wrong)
        assert "LUT_DATABASE_URL: not a database URL" in message
        assert secret not in message
    (tmp_path / "lut.sqlite").write_bytes(b"not a database" * 1000)
    assert "not a database" in _refused("--port", "0", "--data-dir", str(tmp_path))


def test_a_new_data_folder_is_made_and_migrated(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    command = [sys.executable, "-m", "lut_server", "migrate", "--data-dir", str(folder)]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=True)
        assert "up to date" in done.stdout
    assert (folder / "lut.sqlite").exists()
