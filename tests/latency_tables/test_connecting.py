"""The client behind proxies, with a wrong address, and with a token that cannot be sent."""

import logging
import random
import re
import time
from pathlib import Path

import httpx
import pytest

from latency_tables.client import LutClient, LutError, Misdirected, ServerUnavailable, connecting
from tests.support.factories import operation, profile, report
from tests.support.guarded import guarded_server
from tests.support.lut import Lut
from tests.support.proxies import forward_proxy, make_certificate, redirecting, reverse_proxy

SECRET = "lut_SECRETSECRETSECRET"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    connecting._tls.cache_clear()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = make_certificate(tmp_path)
    if path is None:
        pytest.skip("no openssl to make a certificate with")
    return path


@pytest.mark.parametrize("around", ["{}\r", "{}\n", " {} ", "\t{}\r\n"])
def test_white_space_around_a_token_is_left_out(around: str) -> None:
    assert connecting.checked_token(around.format(SECRET)) == SECRET
    assert connecting.checked_token("\r\n") is None


@pytest.mark.parametrize(
    "token", [f"{SECRET}\rx", f"{SECRET}\x00", f"a {SECRET}", f"{SECRET}ü", f"{SECRET}\x7f", "\ufeff" + SECRET]
)
def test_a_token_that_cannot_be_sent_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ValueError, match=r"LUT_TOKEN.* as character \d+ of \d+; copy it again") as refused:
        LutClient(NOBODY, token)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:SECRET@127.0.0.1:9",
        "http://user:SECRET@127.0.0.1:99999",
        "ftp://user:SECRET@host",
        "http://u:SE@CRET@",
    ],
)
def test_no_message_shows_the_password_of_an_address(url: str) -> None:
    with pytest.raises((LutError, ValueError)) as failed, LutClient(url, retry_for_s=0) as client:
        client.devices()
    assert "SECRET" not in str(failed.value)
    assert "CRET" not in str(failed.value)


def test_a_request_that_can_never_be_sent_is_not_repeated(lut: Lut) -> None:
    with LutClient(lut.url, retry_for_s=60) as client:
        client._http.headers["X-Bad"] = "a\rb"
        started = time.monotonic()
        with pytest.raises(Misdirected, match="cannot be sent"):
            client.devices()
        assert time.monotonic() - started < 5


def test_a_refused_connection_to_this_machine_ends_early_and_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(random, "uniform", lambda _, longest: longest)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    with (
        caplog.at_level(logging.WARNING),
        LutClient(NOBODY, retry_for_s=60) as client,
        pytest.raises(ServerUnavailable, match="no answer for 5 s"),
    ):
        client.devices()
    assert now[0] <= 5
    (warning,) = [record.getMessage() for record in caplog.records]
    assert re.search(r"127\.0\.0\.1:9/: no answer .*; trying for 5 s, Ctrl-C stops", warning)


@pytest.mark.parametrize("strip", [True, False])
def test_a_server_below_a_path(database_url: str, strip: bool) -> None:
    below = "/team/lut"
    with (
        guarded_server(database_url, root_path="" if strip else below) as guarded,
        reverse_proxy(guarded.url, below, strip=strip) as url,
        LutClient(url, guarded.make("admin").token, retry_for_s=0, cache=False) as client,
    ):
        client.register_device(report())
        assert [record.device.uuid for record in client.devices()] == ["cpu-1"]


def test_a_wrong_path_says_so(lut: Lut) -> None:
    with (
        reverse_proxy(lut.url, "/lut") as url,
        LutClient(url.removesuffix("/lut"), retry_for_s=0, cache=False) as client,
        pytest.raises(LutError, match="answered 404, not as a lut-server does; is the path before /v1 right"),
    ):
        client.devices()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_https_of_the_same_address_is_followed_for_every_method(
    database_url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        guarded_server(database_url) as guarded,
        reverse_proxy(guarded.url, certificate=certificate) as secure,
        redirecting(secure, status) as plain_url,
        LutClient(plain_url, guarded.make("admin").token, retry_for_s=0, cache=False) as client,
    ):
        client.register_device(report())
        job = client.submit_job(profile(operation()))
        assert client.job(job.id).id == job.id
        assert client._http.base_url.scheme == "https", "the later requests go there at once"


def test_another_host_or_path_is_not_followed_but_named() -> None:
    with (
        redirecting("https://elsewhere.example.org") as url,
        LutClient(url, SECRET, retry_for_s=0, cache=False) as client,
        pytest.raises(Misdirected, match=r"points to https://elsewhere\.example\.org/v1/devices.*; give the URL"),
    ):
        client.devices()


def test_wrong_schemes_and_certificates_are_named_at_once(lut: Lut, certificate: Path) -> None:
    with (
        LutClient(lut.url.replace("http:", "https:"), retry_for_s=60) as client,
        pytest.raises(Misdirected, match="is it http:// instead of https://"),
    ):
        client.devices()
    with (
        reverse_proxy(lut.url, certificate=certificate) as url,
        LutClient(url, retry_for_s=60) as client,
        pytest.raises(Misdirected, match=r"certificate is not trusted .*SSL_CERT_FILE"),
    ):
        client.devices()


def test_through_the_proxy_of_the_environment(lut: Lut, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with forward_proxy({"lut.example.org": lut.url}, seen) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        with LutClient("http://lut.example.org", retry_for_s=0, cache=False) as client:
            client.register_device(report())
            assert [record.device.uuid for record in client.devices()] == ["cpu-1"]
    assert seen[0] == "http://lut.example.org/v1/devices/cpu-1"


def test_a_wrong_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:SECRET@127.0.0.1:9")
    with (
        LutClient("https://lut.example.org", retry_for_s=0) as client,
        pytest.raises(
            ServerUnavailable, match=r"through the proxy HTTPS_PROXY=http://…@127\.0\.0\.1:9.*NO_PROXY"
        ) as failed,
    ):
        client.devices()
    assert "SECRET" not in str(failed.value)


def test_a_socks_proxy_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:SECRET@127.0.0.1:1080")

    def without_socks(**_: object) -> httpx.Client:
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")

    monkeypatch.setattr(httpx, "Client", without_socks)
    with pytest.raises(ValueError, match=r"ALL_PROXY=socks5://…@127\.0\.0\.1:1080.*pip install 'httpx\[socks\]'"):
        LutClient("http://lut.example.org")


def test_no_proxy_needs_no_socks(lut: Lut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "lut.example.org")
    LutClient("http://lut.example.org").close()
    with LutClient(lut.url, retry_for_s=0, cache=False) as client:
        assert client.devices() == [], "loopback needs no proxy either"


def test_a_token_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xef\xbb\xbflut_abc\r\n")
    assert connecting.token_of(None, path) == "lut_abc"
    assert connecting.token_of("lut_x", None) == "lut_x"
    for content, reason in ((b"\r\n", "the file is empty"), (b"\xff\xfe", "cannot be read")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            connecting.token_of(None, path)
    with pytest.raises(ValueError, match="give one of them"):
        connecting.token_of("lut_x", path)
