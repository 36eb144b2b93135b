"""Who gets in, and who may do what: over HTTP, on both databases."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uuid6
from pydantic import ValidationError
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from latency_tables.contract import DeviceReport, Lease, Role, TokenRequest, TokenRotation
from lut_server.__main__ import cli
from lut_server.access.auth import CACHE_S
from lut_server.access.failed_logins import MAX_FAILURES, WINDOW_S
from lut_server.commands.common import refuse_options
from lut_server.credentials import mint
from lut_server.storage import tokens
from tests.support.factories import lease_request, measurement, operation, profile, report
from tests.support.guarded import ROLES, Guarded, guarded_server
from tests.support.processes import Server

# Written out again, not derived from the nouns in the code. None: no token is needed.
LEAST: dict[str, Role | None] = {
    "health": None,
    "readiness": None,
    "metrics": "read",
    "list_devices": "read",
    "get_device": "read",
    "register_device": "agent",
    "set_device_visibility": "admin",
    "remove_device": "admin",
    "list_jobs": "read",
    "get_job": "read",
    "submit_job": "search",
    "forecast_job": "search",
    "cancel_job": "search",
    "claim_lease": "agent",
    "renew_lease": "agent",
    "complete_lease": "agent",
    "give_back_lease": "agent",
    "list_measurements": "read",
    "get_measurement": "read",
    "put_measurement": "agent",
    "put_measurements": "agent",
    "list_tables": "read",
    "get_newest_table": "read",
    "get_table": "read",
    "import_table": "admin",
    "list_calibrations": "read",
    "get_calibration": "read",
    "get_table_calibration": "read",
    "predict": "read",
    "expect": "read",
    "list_transfers": "read",
    "get_newest_transfer": "read",
    "get_transfer": "read",
    "make_transfer": "search",
    "propose_networks": "search",
    "list_publications": "read",
    "get_publication": "read",
    "list_networks": "read",
    "get_network": "read",
    "put_network": "search",
    "name_network": "search",
    "compare_tables": "read",
    "list_tokens": "admin",
    "create_token": "admin",
    "rotate_token": "admin",
    "revoke_token": "admin",
}


@pytest.fixture
def guarded(database_url: str) -> Iterator[Guarded]:
    with guarded_server(database_url) as guarded:
        yield guarded


@pytest.fixture
def open_server(database_url: str) -> Iterator[Guarded]:
    with guarded_server(database_url, open_to_local=True) as guarded:
        yield guarded


def test_each_role_may_do_what_the_table_says(guarded: Guarded) -> None:
    held = {role: guarded.make(role).token for role in ROLES}
    with guarded.http() as http:
        paths = http.get("/openapi.json").json()["paths"]
        assert {item["operationId"] for methods in paths.values() for item in methods.values()} == LEAST.keys()
        for path, methods in paths.items():
            for method, described in methods.items():
                least = LEAST[described["operationId"]]
                url = path.replace("{id}", str(uuid6.uuid7())).replace("{uuid}", "x").replace("{digest}", "0" * 64)
                anonymous = http.request(method, url)
                assert (anonymous.status_code == 401) == (least is not None), (method, path)
                assert bool(described.get("security")) == (least is not None), (method, path)
                for role in ROLES:
                    answer = http.request(method, url, headers={"Authorization": f"Bearer {held[role]}"})
                    may = least is None or ROLES.index(role) >= ROLES.index(least)
                    assert (answer.status_code != 403) == may, (role, method, path, answer.text)
                    assert answer.status_code != 401


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_that_store_one_id_at_once_are_not_a_defect(guarded: Guarded) -> None:
    id = uuid6.uuid7()
    with guarded.http(guarded.make("admin").token) as http, ThreadPoolExecutor() as pool:
        with guarded.database.write() as session:
            request = TokenRequest(name="x", role="read")
            tokens.create(session, id, request, guarded.key, guarded.clock.now)
            other = pool.submit(http.put, f"/v1/tokens/{id}", json={"name": "x", "role": "read"})
            while not session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                assert not other.done()
        answer = other.result()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "the same id at this moment" in answer.json()["detail"]


def test_a_refusal_says_how_to_get_in(guarded: Guarded) -> None:
    guarded.make("admin")
    with guarded.http() as http:
        answer = http.get("/v1/devices")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="lut-server"'
        assert answer.headers["content-type"] == "application/problem+json"
        assert "lut-server token create" in answer.json()["detail"]
        wrong = http.get("/v1/devices", headers={"Authorization": f"Bearer {mint()}"})
        assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
        person = http.get("/", headers={"Accept": "text/html"})
        assert person.status_code == 401
        assert person.headers["www-authenticate"].startswith("Basic ")


def test_a_browser_sends_the_token_as_its_password(guarded: Guarded) -> None:
    token = guarded.make("admin").token
    with guarded.http() as http:
        assert http.get("/v1/devices", auth=("anybody", token)).status_code == 200
        assert http.get("/v1/devices", auth=("anybody", token[:-1])).status_code == 401
        url = f"/v1/tokens/{uuid6.uuid7()}"
        body = {"name": "x", "role": "read"}
        evil = http.put(url, json=body, auth=("", token), headers={"Origin": "https://evil.example"})
        assert evil.status_code == 403
        own = http.put(url, json=body, auth=("", token), headers={"Origin": guarded.url})
        assert own.status_code == 200, own.text


def test_a_token_for_one_device_works_for_that_device_only(guarded: Guarded) -> None:
    own, other = report("gpu-1"), report("gpu-2")
    with (
        guarded.http(guarded.make("admin").token) as admin,
        guarded.http(guarded.make("agent", device="gpu-1").token) as agent,
    ):
        for device in (own, other):
            assert _register(admin, device).status_code == 200
        for _ in range(2):
            job = admin.put(f"/v1/jobs/{uuid6.uuid7()}", content=profile(operation()).model_dump_json(), headers=_JSON)
            assert job.status_code == 200
        assert _register(agent, own).status_code == 200
        assert _register(agent, other).status_code == 403
        mine, foreign = _claim(agent, own), _claim(admin, other).json()
        assert mine.status_code == 200
        assert _claim(agent, other).status_code == 403
        result = measurement(Lease.model_validate(mine.json()), operation().digest, own)
        wrong = result.model_copy(update={"device": "gpu-2"})
        assert (
            agent.put(f"/v1/measurements/{wrong.id}", content=wrong.model_dump_json(), headers=_JSON).status_code == 403
        )
        batch = f"[{result.model_dump_json()},{wrong.model_copy(update={'id': uuid6.uuid7()}).model_dump_json()}]"
        assert agent.post("/v1/measurements", content=batch, headers=_JSON).status_code == 403
        assert admin.get("/v1/measurements").json()["items"] == []
        for method, path, body in (
            ("PATCH", "", {"done": 0, "total": 1}),
            ("POST", "/completion", {}),
            ("DELETE", "", None),
        ):
            with_own = {"Lease-Token": mine.json()["token"]}
            with_theirs = {"Lease-Token": foreign["token"]}
            theirs = f"/v1/leases/{foreign['id']}{path}"
            assert agent.request(method, theirs, json=body, headers=with_theirs).status_code == 403
            assert admin.request(method, theirs, json=body, headers=with_own).status_code == 410
        for method, path in (("PUT", f"/v1/jobs/{uuid6.uuid7()}"), ("PUT", f"/v1/networks/{'0' * 64}")):
            refused = agent.request(method, path, json={})
            assert refused.status_code == 403
            assert "gpu-1 only" in refused.json()["detail"]
        assert agent.get("/v1/devices").status_code == 200
        assert agent.patch(
            f"/v1/leases/{mine.json()['id']}",
            json={"done": 0, "total": 1},
            headers={"Lease-Token": mine.json()["token"]},
        ).is_success


def test_expired_revoked_and_rotated_tokens(guarded: Guarded) -> None:
    passing, revoked, old = guarded.make("read", expires_in_s=60), guarded.make("read"), guarded.make("search")
    for made in (passing, revoked, old):
        assert guarded.status(made.token) == 200
    guarded.clock.advance(60)
    assert guarded.status(passing.token) == 401
    with guarded.database.write() as session:
        tokens.revoke(session, revoked.record.id, guarded.clock.now)
        new = tokens.rotate(
            session, old.record.id, TokenRotation(id=uuid6.uuid7(), overlap_s=100), guarded.key, guarded.clock.now
        )
    guarded.clock.advance(CACHE_S)
    assert guarded.status(revoked.token) == 401
    assert guarded.status(old.token) == guarded.status(new.token) == 200
    assert new.record.role == "search"
    guarded.clock.advance(100 - CACHE_S)
    assert guarded.status(old.token) == 401
    assert guarded.status(new.token) == 200


def test_tokens_over_http(guarded: Guarded) -> None:
    mine = guarded.make("admin")
    with guarded.http(mine.token) as http:
        url = f"/v1/tokens/{uuid6.uuid7()}"
        made = http.put(url, json={"name": "dashboard", "role": "read"})
        assert made.status_code == 200, made.text
        assert guarded.status(made.json()["token"]) == 200
        assert http.put(url, json={"name": "dashboard", "role": "read"}).status_code == 409, "it was shown once"
        rotated = http.post(f"{url}/rotation", json={"id": str(uuid6.uuid7()), "overlap_s": 0})
        assert rotated.status_code == 200, rotated.text
        assert http.post(f"{url}/rotation", json={"id": str(uuid6.uuid7())}).status_code == 409
        guarded.clock.advance(CACHE_S)
        assert guarded.status(made.json()["token"]) == 401
        assert guarded.status(rotated.json()["token"]) == 200
        listed = http.get("/v1/tokens").json()["items"]
        assert len(listed) == 3
        assert all("digest" not in record and "token" not in record for record in listed)
        assert http.delete(f"/v1/tokens/{rotated.json()['record']['id']}").json()["revoked_at"]
        assert http.delete(f"/v1/tokens/{mine.record.id}").status_code == 409, "nobody locks himself out"
        assert http.delete(f"/v1/tokens/{uuid6.uuid7()}").status_code == 404
        past = {"name": "x", "role": "read", "expires_at": "2020-01-01T00:00:00Z"}
        for bad in (past, {"name": "x", "role": "root"}, {"name": "x", "role": "read", "device": "gpu-1"}):
            assert http.put(f"/v1/tokens/{uuid6.uuid7()}", json=bad).status_code == 422


def test_most_checks_need_no_query_and_a_mistyped_token_none_at_all(guarded: Guarded) -> None:
    token = guarded.make("read").token
    statements: list[str] = []
    event.listen(guarded.database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    def looked_up(token: str, path: str = "/v1/nothing") -> int:
        statements.clear()
        guarded.status(token, path)
        return sum("tokens.digest" in statement and "SELECT" in statement for statement in statements)

    assert looked_up(token) == 1
    assert [looked_up(token) for _ in range(3)] == [0, 0, 0]
    guarded.clock.advance(CACHE_S)
    assert looked_up(token) == 1
    assert looked_up(mint()) == 1
    for mistyped in (
        token[:-1],
        token[:10] + "x" + token[11:] if token[10] != "x" else token[1:],
        "x",
        "lut_",
        "x" * 500,
    ):
        assert looked_up(mistyped) == 0


def test_the_last_use_is_noted_at_most_once_a_minute(guarded: Guarded) -> None:
    made = guarded.make("admin")
    updates: list[str] = []
    event.listen(
        guarded.database.engine,
        "before_cursor_execute",
        lambda *given: updates.append(given[2]) if given[2].startswith("UPDATE tokens") else None,
    )
    with guarded.http(made.token) as http:

        def last_used() -> Any:
            (item,) = http.get("/v1/tokens").json()["items"]
            return item["last_used_at"]

        while last_used() is None:
            pass
        first = last_used()
        for _ in range(11):
            guarded.clock.advance(CACHE_S)
            assert last_used() == first
        assert len(updates) == 1
        guarded.clock.advance(CACHE_S)
        while last_used() == first:
            pass
        assert len(updates) == 2


def test_wrong_tokens_are_counted_by_address_and_right_ones_still_get_in(guarded: Guarded) -> None:
    used, unused = guarded.make("read").token, guarded.make("read").token
    assert guarded.status(used) == 200
    assert [guarded.status(mint()) for _ in range(MAX_FAILURES)] == [401] * MAX_FAILURES
    with guarded.http(mint()) as http:
        blocked = http.get("/v1/devices")
        assert blocked.status_code == 429
        assert 0 < int(blocked.headers["retry-after"]) <= WINDOW_S + 1
        elsewhere = http.get("/v1/devices", headers={"X-Forwarded-For": "192.0.2.7"})
        assert elsewhere.status_code == 401, "behind a trusted proxy each address counts for itself"
    assert guarded.status(unused) == 429
    assert guarded.status(None) == 401, "whoever sends no token guesses none"
    guarded.clock.advance(CACHE_S + 1)
    assert guarded.status(used) == 200, "it got in before"
    guarded.clock.advance(WINDOW_S)
    assert guarded.status(unused) == 200


def test_the_database_does_not_hold_tokens_and_another_key_makes_them_worthless(guarded: Guarded) -> None:
    made = guarded.make("admin")
    with guarded.database.read() as session:
        stored = session.execute(text("SELECT * FROM tokens")).one()
    assert made.token not in str(stored)
    assert made.token[4:20] not in str(stored)
    assert guarded.key.digest(made.token.encode()) in str(stored)
    assert guarded.status(made.token) == 200
    with guarded_server(guarded.database.engine.url.render_as_string(hide_password=False)) as elsewhere:
        assert elsewhere.status(made.token) == 401


def test_without_tokens_this_machine_is_let_in_and_nobody_else(open_server: Guarded) -> None:
    with open_server.http() as http:
        assert http.get("/v1/devices").status_code == 200
        for name in ("localhost", "127.0.0.1", "lut.localhost"):
            assert http.get("/v1/devices", headers={"Host": name}).status_code == 200
        rebound = http.get("/v1/devices", headers={"Host": "evil.example"})
        assert rebound.status_code == 403
        proxied = http.get("/v1/devices", headers={"X-Forwarded-For": "192.0.2.7"})
        assert proxied.status_code == 401
        assert "lut-server token create" in proxied.json()["detail"]
        device = report()
        written = http.put(
            "/v1/devices/cpu-1", content=device.model_dump_json(), headers={**_JSON, "Origin": "https://evil.example"}
        )
        assert written.status_code == 403
        first = http.put(f"/v1/tokens/{uuid6.uuid7()}", json={"name": "x", "role": "admin"})
        assert first.status_code == 403
        made = open_server.make("admin")
        open_server.clock.advance(CACHE_S)
        assert http.get("/v1/devices").status_code == 401, "the first token closes the server"
        assert open_server.status(made.token) == 200
        with open_server.database.write() as session:
            tokens.revoke(session, made.record.id, open_server.clock.now)
        open_server.clock.advance(CACHE_S)
        assert http.get("/v1/devices").status_code == 401, "and it stays closed"


def test_the_database_being_busy_is_no_reason_to_let_in_or_out(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = guarded.make("read").token

    def busy(*_: object) -> None:
        raise OperationalError("", {}, Exception("database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(tokens, "find", busy)
        with guarded.http(token) as http:
            answer = http.get("/v1/devices")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert guarded.status(token) == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_served_to_other_machines_with_tokens_that_stand_in_no_log(database_url: str, tmp_path: Path) -> None:
    made = CliRunner().invoke(cli, ["token", "create", "--role", "admin", "--database-url", database_url])
    token = made.stdout.strip()
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    server = Server(database_url, tmp_path, environment={"LUT_HOST": "0.0.0.0", "LUT_LOG_FORMAT": "json"})
    server.start()
    wrong = mint()
    try:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        for path in ("/v1/devices", "/v1/nothing", "/"):
            for presented, status in ((token, {200, 404}), (wrong, {401})):
                headers = {"Authorization": f"Bearer {presented}"}
                assert httpx.get(url + path, headers=headers, trust_env=False).status_code in status
        name = CliRunner().invoke(cli, ["token", "list", "--database-url", database_url])
        id = name.stdout.splitlines()[1].split()[0]
        new = CliRunner().invoke(cli, ["token", "rotate", id, "--overlap", "0s", "--database-url", database_url])
        rotated = {"Authorization": f"Bearer {new.stdout.strip()}"}
        assert httpx.get(url + "/v1/devices", headers=rotated, trust_env=False).status_code == 200
        revoked = CliRunner().invoke(cli, ["token", "revoke", id, "--database-url", database_url])
        assert revoked.exit_code == 0, revoked.output
    finally:
        server.end(signal.SIGTERM)
    log = server.log.read_text()
    assert "/v1/devices" in log
    for secret in (token, wrong, new.stdout.strip()):
        assert secret[4:30] not in log


def test_a_server_that_nobody_could_enter_does_not_start(database_url: str, tmp_path: Path) -> None:
    """All tokens ended, or the server key is another one."""
    key = tmp_path / "a.key"
    key.write_text("k" * 40)
    environment = {"LUT_SECRET_KEY_FILE": str(key), "LUT_DATABASE_URL": database_url}
    made = CliRunner().invoke(cli, ["token", "create", "--role", "read"], env=environment)
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("lut_")
    key.write_text("l" * 40)
    refused = _serve(environment)
    assert refused.returncode == 2
    assert "another server key" in refused.stderr
    key.unlink()
    refused = _serve(environment)
    assert refused.returncode == 2
    assert str(key) in refused.stderr


def test_what_makes_no_sense_on_the_command_line(tmp_path: Path) -> None:
    CliRunner().invoke(cli, ["migrate", "--data-dir", str(tmp_path)])
    for arguments, message in (
        (["create", "--role", "read", "--device", "gpu-1"], "only a token of role agent"),
        (["create", "--role", "agent", "--device", "../x"], "device"),
        (["create", "--role", "read", "--expires", "soon"], "not a duration"),
        (["revoke", str(uuid6.uuid7())], "no such token"),
        (["rotate", str(uuid6.uuid7())], "no such token"),
        (["create", "--role", "read", "--output", "/proc/nothing"], "/proc"),
    ):
        refused = CliRunner().invoke(cli, ["token", *arguments, "--data-dir", str(tmp_path)])
        assert refused.exit_code == 2, refused.output
        assert message in refused.stderr
    listed = CliRunner().invoke(cli, ["token", "list", "--data-dir", str(tmp_path)])
    assert len(listed.stdout.splitlines()) == 1, "a token that could not be handed over was not made"


def _serve(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "lut_server", "serve", "--port", "0"]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


_JSON = {"Content-Type": "application/json"}


def _register(http: httpx.Client, device: DeviceReport) -> httpx.Response:
    return http.put(f"/v1/devices/{device.device.uuid}", content=device.model_dump_json(), headers=_JSON)


def _claim(http: httpx.Client, device: DeviceReport) -> httpx.Response:
    return http.post("/v1/leases", content=lease_request(device).model_dump_json(), headers=_JSON)


def test_a_refused_option_is_named_with_its_value(tmp_path: Path) -> None:
    arguments = ["token", "create", "--role", "read", "--name", "x" * 1000, "--data-dir", str(tmp_path)]
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 2
    assert "name:" in refused.output
    assert "x" * 1000 in refused.output


def test_a_refused_word_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValidationError) as error:
        TokenRequest.model_validate({"name": "x", "role": "owner"})
    with pytest.raises(SystemExit):
        refuse_options(error.value)
    assert capsys.readouterr().err.count("owner") == 1
