import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import uuid6

from lut_server.client import LutClient, LutError, NotFound, Rejected, ServerUnavailable
from lut_server.schemas import Progress

Reply = tuple[int, dict[str, str], bytes] | None
EMPTY: Reply = (200, {}, b'{"items": [], "next": null}')
HANG_UP: Reply = None
Scripted = Callable[..., str]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """Starts a server that gives the listed answers one by one, then the last one for ever; None hangs up."""
    servers: list[ThreadingHTTPServer] = []

    def start(*replies: Reply) -> str:
        left = list(replies)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                reply = left.pop(0) if len(left) > 1 else left[0]
                if reply is None:
                    self.close_connection = True
                    return
                status, headers, body = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_PATCH = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_busy_server_and_a_lost_connection_are_tried_again(scripted: Scripted) -> None:
    url = scripted((503, {}, b""), HANG_UP, (502, {}, b"proxy"), EMPTY)
    with LutClient(url, retry_for_s=20) as client:
        assert client.devices() == []


def test_retry_after_is_honoured(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    url = scripted(
        (503, {"Retry-After": "7"}, b""), (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b""), EMPTY
    )
    with LutClient(url, retry_for_s=20) as client:
        assert client.devices() == []
    assert waits[0] >= 7
    assert waits[1] < 7


def test_it_gives_up_in_the_end_and_says_what_to_do(scripted: Scripted) -> None:
    with (
        LutClient("http://127.0.0.1:9", retry_for_s=0.2) as client,
        pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1:9.*lut-server serve") as gone,
    ):
        client.devices()
    assert gone.value.status is None
    busy = scripted((503, {"Retry-After": "30"}, b'{"title": "Busy", "status": 503, "detail": "no room"}'))
    with LutClient(busy, retry_for_s=1) as client, pytest.raises(ServerUnavailable, match="no room") as full:
        client.devices()
    assert full.value.status == 503
    assert full.value.problem is not None
    assert full.value.problem.detail == "no room"


@pytest.mark.parametrize(
    ("status", "error"), [(400, Rejected), (403, Rejected), (404, NotFound), (422, Rejected), (500, LutError)]
)
def test_what_is_wrong_is_not_tried_again(scripted: Scripted, status: int, error: type[LutError]) -> None:
    url = scripted((status, {}, b'{"title": "No", "status": 1, "detail": "do this"}'), EMPTY)
    with LutClient(url) as client:
        with pytest.raises(error, match="No: do this") as caught:
            client.devices()
        assert caught.value.status == status
        assert client.devices() == []


@pytest.mark.parametrize("body", [b"<html>", b'{"expires_at": 1}', b""])
def test_another_kind_of_server_is_noticed(scripted: Scripted, body: bytes) -> None:
    with LutClient(scripted((200, {}, body))) as client, pytest.raises(LutError, match="is a lut-server"):
        client.renew(uuid6.uuid7(), "token", Progress(done=0, total=1))


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host:port", ""])
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="give it like http"):
        LutClient(url)


def test_a_proxy_does_not_stand_before_loopback(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with LutClient(scripted(EMPTY), retry_for_s=0) as client:
        assert client.devices() == []
