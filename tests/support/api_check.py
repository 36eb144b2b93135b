"""Schemathesis against a real server: every check, every phase. A test file for each database uses it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ENVIRONMENT, Server, make_token

CONFIG = Path(__file__).parents[2] / "schemathesis.toml"
EXAMPLES = 4
MAX_S = 600


def check_api(database_url: str, folder: Path) -> None:
    """The server does what its OpenAPI document says."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed (Python 3.10 has an older one)")
    token = make_token(database_url, "admin")
    server = Server(database_url, folder, environment=ENVIRONMENT)
    server.start()
    try:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
            *("run", f"{server.url}/openapi.json", "--checks", "all", "--header", f"Authorization: Bearer {token}"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES), "--no-color"),
            "--suppress-health-check=too_slow",  # how long it takes to make data says more about the machine
        ]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=MAX_S, check=False)
    finally:
        server.kill()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in server.log.read_text()
