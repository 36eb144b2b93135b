import inspect
import pydoc
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uuid6

from latency_tables.client import (
    LutClient,
    LutError,
    NotFound,
    Rejected,
    ServerUnavailable,
    UnreadableTable,
    load_table,
)
from latency_tables.client.retry import FIRST_DELAY_S
from latency_tables.contract import Completion, DeviceReport, Progress, TableFile
from lut_server.exchange.files import write_table
from lut_server.routes.measurements import NOUN
from tests.support.factories import CPU, measurement, operation, profile, table
from tests.support.lut import Lut

Reply = tuple[int, dict[str, str], bytes] | None
EMPTY: Reply = (200, {}, b'{"items": [], "next": null}')
HANG_UP: Reply = None
UNDECODABLE: Reply = (200, {"Content-Encoding": "gzip"}, b"abc")
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


def test_a_busy_server_and_a_lost_connection_are_tried_again(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    url = scripted((503, {}, b""), HANG_UP, (502, {}, b"proxy"), UNDECODABLE, EMPTY)
    with LutClient(url, retry_for_s=20) as client:
        assert client.devices() == []


def test_an_answer_that_cannot_be_decoded_is_no_answer(scripted: Scripted) -> None:
    with (
        LutClient(scripted(UNDECODABLE), retry_for_s=0.1) as client,
        pytest.raises(ServerUnavailable, match=r"no answer.*DecodingError"),
    ):
        client.devices()


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


@pytest.mark.parametrize("value", ["²", "soon", "-5", "1e9", "", "Wed, 21 Oct 99999 07:28:00 GMT"])
def test_a_retry_after_that_says_nothing_does_no_harm(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with LutClient(scripted((503, {"Retry-After": value}, b""), EMPTY), retry_for_s=20) as client:
        assert client.devices() == []
    assert waits[0] <= FIRST_DELAY_S


def test_too_many_requests_are_tried_again_when_the_server_says(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with LutClient(scripted((429, {"Retry-After": "7"}, b""), EMPTY), retry_for_s=20) as client:
        assert client.devices() == []
    assert waits[0] >= 7
    with LutClient(scripted((429, {}, b""), EMPTY)) as client, pytest.raises(Rejected):
        client.devices()


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


def test_a_proxy_from_the_environment_is_used_for_other_machines(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", scripted((503, {}, b""), EMPTY))
    monkeypatch.delenv("NO_PROXY", raising=False)
    with LutClient("http://lut.invalid", retry_for_s=20) as client:
        assert client.devices() == []


A, B = operation(8), operation(16)


METHODS = {name: member for name, member in vars(LutClient).items() if callable(member) and not name.startswith("_")}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_help_shows_what_a_method_takes_and_gives(method: Callable[..., Any]) -> None:
    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())
    assert parameters.pop(0).name == "self"
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters)
    assert not {parameter.kind for parameter in parameters} & {
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    }
    assert signature.return_annotation is not inspect.Signature.empty
    assert method.__doc__
    text = pydoc.plain(pydoc.render_doc(LutClient))
    assert all(f"{parameter.name}: " in text.split(f" {method.__name__}(self")[1] for parameter in parameters)


def test_a_job_from_its_submission_to_its_table(lut: Lut, device: DeviceReport) -> None:
    job = lut.client.submit_job(profile(A, B))
    lease = lut.claim(device)
    states: list[str] = []

    def wait() -> None:
        with LutClient(lut.url, cache=False) as client:
            client.wait_for_job(job.id, lambda job: states.append(job.state), poll_s=0.01)

    waiting = threading.Thread(target=wait)
    waiting.start()
    lut.client.put_measurements(measurement(lease, key, device) for key in lease.remaining)
    done = lut.client.complete(lease.id, lease.token, Completion())
    waiting.join()
    assert states[-1] == "done"
    assert [table.id for table in lut.client.tables()] == [done.table_id]
    with pytest.raises(NotFound, match="no such job"):
        lut.client.job(uuid6.uuid7())


def test_more_than_a_server_takes_at_once_is_sent_in_parts(lut: Lut, device: DeviceReport) -> None:
    lut.client.submit_job(profile(*(operation(channels) for channels in range(1, 96))))
    lease = lut.claim(device)
    draw = random.Random(0)
    samples_us = tuple(draw.uniform(90, 110) for _ in range(10_000))
    whole = [measurement(lease, key, device).model_copy(update={"samples_us": samples_us}) for key in lease.remaining]
    assert len(whole) * len(whole[0].model_dump_json()) > NOUN.max_bytes
    receipts = lut.client.put_measurements(whole)
    assert [receipt.id for receipt in receipts] == [one.id for one in whole]


def test_a_table_that_did_not_change_is_not_sent_again(lut: Lut, device: DeviceReport, tmp_path: Path) -> None:
    def sent(status: int) -> float:
        lines = [line for line in lut.http.get("/metrics").text.splitlines() if "duration_seconds_count" in line]
        return sum(float(line.split()[-1]) for line in lines if "/tables/" in line and f'status="{status}"' in line)

    first = lut.build_table(profile(A), device)
    full = sent(200)
    for number in range(3):
        with LutClient(lut.url, cache=tmp_path / "cache") as client:
            assert client.table(first.id) == first
            assert client.newest_table("cpu-1", "small", CPU) == first
            assert (sent(200), sent(304)) == (full + 2, number), "each was sent once; only the newest is asked for"
    second = lut.build_table(profile(B), device)
    with LutClient(lut.url, cache=tmp_path / "cache") as client:
        assert client.newest_table("cpu-1", "small", CPU) == second


def test_a_damaged_or_impossible_cache_is_none(lut: Lut, device: DeviceReport, tmp_path: Path) -> None:
    table = lut.build_table(profile(A), device)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "cache", tmp_path / "file"):
        with LutClient(lut.url, cache=folder) as client:
            for damage in (lambda data: data[:-5], lambda data: data.replace(b"conv", b"pool"), lambda _: b""):
                assert client.table(table.id) == table
                for path in folder.glob("*"):
                    path.write_bytes(damage(path.read_bytes()))
            assert client.table(table.id) == table
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".table"]


def test_a_table_from_a_file_is_the_one_that_was_exported(tmp_path: Path) -> None:
    exported = table(A, B)
    path = write_table(tmp_path, exported, "json")
    assert load_table(path) == exported
    assert TableFile.model_validate_json(path.read_bytes()).content_digest == exported.digest
    path.write_text(path.read_text().replace('"median_us":100.0', '"median_us":99.0'))
    with pytest.raises(UnreadableTable, match="changed or damaged"):
        load_table(path)
    path.write_text(exported.model_dump_json())
    with pytest.raises(UnreadableTable, match="lut-server export"):
        load_table(path)
    with pytest.raises(UnreadableTable, match="No such file"):
        load_table(tmp_path / "none.json")


def test_a_table_as_a_data_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = table(A, B)
    pandas = pytest.importorskip("pandas")
    frame = measured.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["key"]) == [row.operation.digest for row in measured.rows]
    assert list(frame["median_us"]) == [row.latency.median_us for row in measured.rows]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        measured.to_pandas()
