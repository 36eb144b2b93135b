"""Stands in for `docker compose` where there is no container engine: the same commands, the same settings and secrets,
but on this machine, with the database of the test. What would be built or drawn from a registry is not.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

START_S = 60
HERE = Path.cwd()
COMPOSE = yaml.safe_load((HERE / "docker-compose.yml").read_text())


def environment_of(service: str) -> dict[str, str]:
    """What Compose would set; the database is the test's."""
    settings = dict(line.split("=", 1) for line in (HERE / ".env").read_text().splitlines())
    made = {}
    for name, value in COMPOSE["services"][service].get("environment", {}).items():
        if value.startswith("${"):
            value = settings[value[2:].partition(":")[0]]
        made[name] = value.replace("/run/secrets", str(HERE / "secrets"))
    if "LUT_DATABASE_URL" in made:
        made["LUT_DATABASE_URL"] = (
            made["LUT_DATABASE_URL"].replace("@database/", "@/") + f"?host={os.environ['PGHOST']}"
        )
    return {**os.environ, **made}


def run(service: str, command: list[str]) -> int:
    return subprocess.run(command, env=environment_of(service), check=False).returncode


def started(profiles: list[str]) -> dict[str, dict[str, Any]]:
    """The services that Compose looks at."""
    return {
        name: service
        for name, service in COMPOSE["services"].items()
        if "profiles" not in service or set(service["profiles"]) & set(profiles)
    }


def build(profiles: list[str]) -> int:
    dockerfiles = [service["build"]["dockerfile"] for service in started(profiles).values() if "build" in service]
    return int(not all((HERE / path).exists() for path in dockerfiles))


def up(profiles: list[str]) -> int:
    """Everything that is started has its secrets, its settings and its files; the server really starts."""
    for name, service in started(profiles).items():
        environment_of(name)
        for secret in service.get("secrets", ()):
            assert (HERE / COMPOSE["secrets"][secret]["file"]).read_text().strip(), f"{secret} is empty"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (HERE / source).exists(), source
    ready = HERE / "ready"
    ready.unlink(missing_ok=True)
    environment = {**environment_of("server"), "LUT_HOST": "127.0.0.2", "LUT_PORT": "0"}
    server = subprocess.Popen(["lut-server", "serve", "--ready-file", ready], env=environment)
    try:
        give_up_at = time.monotonic() + START_S
        while not ready.exists():
            if server.poll() is not None:
                return 1
            if time.monotonic() > give_up_at:
                print(f"the server did not start within {START_S} s", file=sys.stderr)
                return 1
            time.sleep(0.05)
        token = (HERE / "secrets" / "metrics_token").read_text().strip()
        with httpx.Client(base_url=ready.read_text(), trust_env=False) as http:
            http.get("/readyz").raise_for_status()
            http.get("/metrics", headers={"Authorization": f"Bearer {token}"}).raise_for_status()
    finally:
        server.kill()
        server.wait()
    return 0


def main() -> int:
    match sys.argv[1:]:
        case ["compose", "build", *options] if set(options) <= {"--pull"}:
            return build([])
        case ["compose", "--profile", profile, "build", "--pull"]:
            return build([profile])
        case ["compose", "run", "--rm", "-T", service, *command]:
            return run(service, command)
        case ["compose", "exec", "-T", service, *command]:
            return run(service, command)
        case ["compose", "up", "--detach", "--wait"]:
            return up([])
        case ["compose", "--profile", profile, "up", "--detach", "--wait"]:
            return up([profile])
    print(f"not known here: docker {' '.join(sys.argv[1:])}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
