"""What the API says of itself, tried out by Schemathesis: every check, every phase, against a real server."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ENVIRONMENT, Server, make_token

CONFIG = Path(__file__).parents[2] / "schemathesis.toml"
EXAMPLES = 4

pytest.importorskip("schemathesis", reason="schemathesis is not installed (Python 3.10 has an older one)")


def test_the_server_does_what_its_api_says(database_url: str, tmp_path: Path) -> None:
    token = make_token(database_url, "admin")
    server = Server(database_url, tmp_path, environment=ENVIRONMENT)
    server.start()
    try:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
            *("run", f"{server.url}/openapi.json", "--checks", "all", "--header", f"Authorization: Bearer {token}"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES), "--no-color"),
        ]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    finally:
        server.kill()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in server.log.read_text()
