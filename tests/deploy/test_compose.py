"""docker-compose.yml without a container engine: by the specification's schema, and by what it must promise."""

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.make_secrets import MADE, TO_COME, make
from lut_server.credentials import MIN_KEY_LENGTH
from lut_server.settings import load_settings
from tests.support.guarded import guarded_server

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_it_is_valid_by_the_compose_specification(tmp_path: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text().replace("healthcheck:", "health_check:", 1))
    assert subprocess.run([*check, wrong], capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_watched_restarted_and_nobody_is_root(name: str) -> None:
    service = SERVICES[name]
    if name == "agent":
        assert "healthcheck" not in service, "nothing runs beside what is measured"
    else:
        assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    if "build" in service:
        steps = (ROOT / service["build"]["dockerfile"]).read_text().splitlines()
        users = [line.split()[1] for line in steps if line.startswith("USER ")]
        assert users, "the image runs as root"
        assert users[-1] not in ("root", "0")
        assert steps.index(f"USER {users[-1]}") < next(i for i, line in enumerate(steps) if line.startswith("CMD "))
    else:
        assert service["user"] not in ("root", "0")
        assert re.fullmatch(r"[a-z/]+:v?\d[\w.-]*", service["image"]), "a version, not latest"


def test_only_the_proxy_can_be_reached_from_other_machines() -> None:
    open_to_all = {
        name for name, service in SERVICES.items() for port in service.get("ports", ()) if not port.startswith("127.")
    }
    assert open_to_all == {"proxy"}
    assert all("network_mode" not in service for service in SERVICES.values())
    assert COMPOSE["networks"]["inside"]["internal"]
    caddy = (ROOT / "deploy" / "images" / "Caddyfile").read_text()
    inside = dict(re.findall(r"(https?)_port (\d+)", caddy))
    assert SERVICES["proxy"]["ports"] == [f"80:{inside['http']}", f"443:{inside['https']}"]
    assert f"reverse_proxy server:{SERVICES['server']['environment']['LUT_PORT']}" in caddy
    assert set(re.findall(r"\{\$(\w+)\}", caddy)) == set(SERVICES["proxy"]["environment"])


def test_secrets_are_files_and_nothing_has_a_default_password(tmp_path: Path) -> None:
    assert set(COMPOSE["secrets"]) == {*MADE, *TO_COME}
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|TOKEN|SECRET", variable):
                assert variable.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
            assert not re.search(r":[^/@]+@", value), "a password in a URL"
            assert ":-" not in value, "a default"
    for ignored in (".gitignore", ".dockerignore"):
        lines = (ROOT / ignored).read_text().splitlines()
        kept = {"secrets", ".env", "*.token", "*.key", "*.dump", "lut-backup*"}
        assert kept <= {line.removeprefix("**/").rstrip("/") for line in lines}
    folder = tmp_path / "secrets"
    assert make(folder) == [*MADE, *TO_COME]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert make(folder) == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    assert len({first[name] for name in MADE}) == len(MADE)
    assert all(len(first[name].strip()) >= MIN_KEY_LENGTH for name in MADE)


def test_the_server_takes_the_settings_that_it_is_given(tmp_path: Path) -> None:
    make(tmp_path)
    given = SERVICES["server"]["environment"]
    environment = {name: value.replace("/run/secrets", str(tmp_path)) for name, value in given.items()}
    settings = load_settings(environment)
    assert settings.database_url.host in SERVICES
    assert settings.database_url.username == SERVICES["database"]["environment"]["POSTGRES_USER"]
    assert settings.database_url.database == SERVICES["database"]["environment"]["POSTGRES_DB"]
    assert settings.database_url.password == (tmp_path / "database_password").read_text().strip()
    assert settings.key.load().secret == (tmp_path / "server_key").read_text().strip().encode()
    assert not settings.is_local
    assert settings.log_format == "json"
    assert settings.trusted_proxies == COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"]


def test_the_database_is_not_healthy_while_it_is_first_made() -> None:
    """Its temporary server listens on the socket only."""
    command, *options = SERVICES["database"]["healthcheck"]["test"][1:]
    assert command == "pg_isready"
    assert "--host=127.0.0.1" in options


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_prometheus_and_the_health_check_ask_for_what_is_there(database_url: str) -> None:
    scrape = yaml.safe_load((ROOT / "deploy" / "images" / "prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["static_configs"] == [{"targets": ["server:8000"]}]
    assert (
        scrape["authorization"]["credentials_file"].removeprefix("/run/secrets/") in SERVICES["prometheus"]["secrets"]
    )
    with guarded_server(database_url) as guarded:
        assert guarded.status(None, scrape["metrics_path"]) == 401
        assert guarded.status(guarded.make("read").token, scrape["metrics_path"]) == 200
        _, python, option, code = SERVICES["server"]["healthcheck"]["test"]
        assert (python, option) == ("python", "-c")
        for url, status in ((guarded.url, 0), ("http://127.0.0.1:9", 1)):
            here = code.replace("http://127.0.0.1:8000", url)
            assert subprocess.run([sys.executable, "-c", here], capture_output=True, check=False).returncode == status
