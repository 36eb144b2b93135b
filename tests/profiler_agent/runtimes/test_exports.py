"""Exports shared by processes: each made once, also when its maker dies."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from latency_tables.contract import Runtime
from profiler_agent.measuring.remote_worker import RemoteWorker
from profiler_agent.orders import WorkTask
from profiler_agent.runtimes.exported.export import export
from profiler_agent.runtimes.exports import Exports
from profiler_agent.runtimes.mode import open_mode
from profiler_agent.runtimes.subject import Subject
from tests.support import toy_space
from tests.support.agents import WAIT_S, profile

# Makes the model "a", slowly; says when it begins, and what it got.
SCRIPT = """
import sys, time
from pathlib import Path
from profiler_agent.runtimes.exports import Exports

def make():
    print("making", flush=True)
    time.sleep(float(sys.argv[2]))
    return sys.argv[3].encode()

print(Exports(Path(sys.argv[1])).get("a", make).decode(), flush=True)
"""


def start(folder: Path, seconds: float, text: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(seconds), text]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def words_of(process: subprocess.Popen[str]) -> list[str]:
    return process.communicate(timeout=WAIT_S)[0].split()


@pytest.mark.process
def test_processes_that_come_together_make_a_model_once(tmp_path: Path) -> None:
    processes = [start(tmp_path, 0.3, text) for text in ("one", "two", "three")]
    outputs = [words_of(process) for process in processes]
    assert sum("making" in words for words in outputs) == 1
    assert len({words[-1] for words in outputs}) == 1


@pytest.mark.process
def test_a_maker_that_dies_is_replaced(tmp_path: Path) -> None:
    with start(tmp_path, 600, "first") as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == "making\n"
            second = start(tmp_path, 0, "second")
        finally:
            first.kill()
        assert words_of(second) == ["making", "second"]


def test_an_export_that_fails_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    exports = Exports(tmp_path)

    def fail() -> bytes:
        raise RuntimeError("no such operator")

    with pytest.raises(RuntimeError, match="no such operator"):
        exports.get("a", fail)
    assert exports.get("a", lambda: b"model") == b"model"
    assert exports.get("b", lambda: b"another") == b"another"


def test_a_shared_model_is_compared_with_this_process_s_own_outputs() -> None:
    """A model that another module left is refused: what is shared is checked by everyone who takes it."""
    mode = open_mode(Runtime(mode="onnxruntime", threads=1), torch.device("cpu"))
    shape = ((1, 3, 8, 8),)
    torch.manual_seed(0)
    with torch.inference_mode():
        other = export(Subject(torch.nn.Conv2d(3, 5, 3), shape), (torch.randn(shape[0]),), torch.float32).model
        own = torch.nn.Conv2d(3, 5, 3)
        with pytest.raises(ValueError, match="ONNX Runtime gives"):
            mode.prepare(Subject(own, shape, share=lambda _: other))
        models: dict[str, bytes] = {}
        for _ in range(2):
            mode.prepare(Subject(own, shape, share=lambda make: models.get("own") or models.setdefault("own", make())))


@pytest.fixture
def worker_task(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> WorkTask:
    monkeypatch.syspath_prepend(site)
    request = profile(
        toy_space.operation("conv"), toy_space.operation("pool"), runtime=Runtime(mode="onnxruntime", threads=1)
    )
    return WorkTask(
        device="cpu",
        request=request,
        runtime=request.runtime,
        keys=request.keys,
        exports=str(tmp_path),
        turns=2,
    )


@pytest.mark.process
def test_workers_of_a_job_run_each_other_s_exports(worker_task: WorkTask, tmp_path: Path) -> None:
    workers = [RemoteWorker(worker_task.model_copy(update={"turn": turn})) for turn in range(2)]
    try:
        assert [worker.ready.failures for worker in workers] == [{}, {}]
        exported = {path.stem for path in tmp_path.glob("*.onnx")}
        assert set(worker_task.keys) <= exported
        for worker in workers:
            assert worker.take(worker_task.keys[0], 2).latency_us > 0
    finally:
        for worker in workers:
            worker.close()
