"""The outbox: killed (SIGKILL) at every step, refused, absent: no result is lost and none is sent after its receipt."""

import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest
import uuid6

from latency_tables.client import Conflict, Rejected, ServerUnavailable
from latency_tables.contract import Measurement, Method, Quality, Runtime
from profiler_agent.agent.outbox import Courier, Outbox
from tests.support.agents import wait_until

SERVER = "http://127.0.0.1:8000"

# Kills itself just before the n-th step that changes a file or sends; says what it sent, and when put returned.
SCRIPT = """
import os, pathlib, signal, sys
from latency_tables.contract import Measurement
from profiler_agent.agent.outbox import Outbox

folder, body, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
measurement = Measurement.model_validate_json(body)
outbox = Outbox(pathlib.Path(folder), "http://127.0.0.1:8000")
steps = 0

def watched(call):
    def step(*args, **kwargs):
        global steps
        steps += 1
        if steps == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return step

os.fsync = watched(os.fsync)
for name in ("open", "replace", "unlink"):
    setattr(pathlib.Path, name, watched(getattr(pathlib.Path, name)))
send = watched(lambda sent: print("sent", sent.id, flush=True))
outbox.put(measurement)
print("put", flush=True)
for path in outbox.pending():
    outbox.deliver(path, send)
print("done", flush=True)
"""


def measurement() -> Measurement:
    return Measurement(
        id=uuid6.uuid7(),
        job_id=uuid6.uuid7(),
        key="0" * 64,
        device="CPU-test",
        environment="0" * 64,
        runtime=Runtime(),
        method=Method(version="warm-1"),
        samples_us=(1.0, 2.0),
        executions_per_block=3,
        quality=Quality(converged=True),
        measured_at=datetime.now(timezone.utc),
    )


@pytest.mark.process
def test_killed_at_any_step_a_result_is_sent_after_the_restart_or_was_received(tmp_path: Path) -> None:
    for kill_at in range(1, 20):
        folder = tmp_path / str(kill_at)
        result = measurement()
        command = [sys.executable, "-c", SCRIPT, str(folder), result.model_dump_json(), str(kill_at)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        words = ended.stdout.split()
        sent: list[Measurement] = []
        outbox = Outbox(folder, SERVER)
        for path in outbox.pending():
            outbox.deliver(path, sent.append)
        if "put" in words:
            assert sent == [result] or "sent" in words
        if "done" in words:
            assert ended.returncode == 0
            assert sent == []
            break
        assert ended.returncode == -signal.SIGKILL
        assert sent in ([], [result])
        assert outbox.pending() == []
    assert kill_at > 5, "the script took no steps"
    assert "done" in words


@pytest.mark.parametrize("refusal", [Rejected("samples_us: NaN", status=422), Conflict("another body", status=409)])
def test_what_the_server_refuses_for_good_is_kept_aside_with_the_reason(tmp_path: Path, refusal: Exception) -> None:
    outbox, result = Outbox(tmp_path, SERVER), measurement()
    outbox.put(result)

    def refuse(_: Measurement) -> None:
        raise refusal

    for path in outbox.pending():
        outbox.deliver(path, refuse)
    assert outbox.pending() == []
    body = (outbox.rejected / f"{result.id}.json").read_text()
    assert Measurement.model_validate_json(body) == result
    assert str(refusal) in (outbox.rejected / f"{result.id}.reason.txt").read_text()


@pytest.mark.parametrize(
    "trouble", [ServerUnavailable("away"), Rejected("token expired", status=401), Rejected("slow down", status=429)]
)
def test_a_passing_trouble_leaves_the_result_where_it_is(tmp_path: Path, trouble: Exception) -> None:
    outbox = Outbox(tmp_path, SERVER)
    outbox.put(measurement())

    def fail(_: Measurement) -> None:
        raise trouble

    with pytest.raises(type(trouble)):
        outbox.deliver(outbox.pending()[0], fail)
    assert len(outbox.pending()) == 1


def test_the_courier_retries_until_the_server_is_back_and_tells_once(tmp_path: Path) -> None:
    outbox, results = Outbox(tmp_path, SERVER), [measurement() for _ in range(3)]
    lines: list[str] = []
    sent: list[Measurement] = []
    failures = [ServerUnavailable("away"), ServerUnavailable("away")]

    def send(result: Measurement) -> None:
        if failures:
            raise failures.pop()
        sent.append(result)

    for result in results:
        outbox.put(result)
    Courier(outbox, send, lines.append)
    wait_until(lambda: not outbox.pending())
    assert sent == results
    wait_until(lambda: len(lines) == 2)
    time.sleep(0.05)
    assert lines == ["results wait in the outbox: away", "the outbox is delivered"]


def test_a_broken_file_is_kept_aside_and_blocks_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, SERVER)
    outbox.put(measurement())
    outbox.pending()[0].write_text("{}")
    sent: list[Measurement] = []
    for path in outbox.pending():
        outbox.deliver(path, sent.append)
    assert sent == []
    assert len(list(outbox.rejected.glob("*.json"))) == 1


def test_each_server_has_an_outbox_of_its_own(tmp_path: Path) -> None:
    Outbox(tmp_path, SERVER).put(measurement())
    assert len(Outbox(tmp_path, SERVER + "/").pending()) == 1
    assert Outbox(tmp_path, "http://127.0.0.1:8001").pending() == []
