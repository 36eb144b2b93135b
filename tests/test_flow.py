"""The whole way on one machine, for real, as the README walks it: `make run`, the tour, and a second run."""

import json
import os
import re
import shlex
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy import loop

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SMALL = (
    "--device cpu --height 65 --width 129 --budget 5 --steps 3 --images 4 --networks 3 --crop 64 128 --proxy-channels 2"
)
# What makes a command of the tour small enough for a test.
SHORTER = {
    "lgcnet-search profile": " --height 49 --width 97 --budget 3 --calibrate 0",
    "lgcnet-search calibrate": " --height 49 --width 97 --networks 3 --budget 5",
    "lgcnet-search figure-1": " --size 64x96 --budget 1",
    "lgcnet-search search": " --height 65 --width 129 --steps 2 --images 4 --crop 64x128 --proxy-channels 2",
    "lgcnet-search measure": " --budget 3",
    "lgcnet-search finetune": " --size 65x129 --images 4 --held-out 2 --epochs 1 --batch 2",
    "lgcnet-search evaluate": " --images 4 --held-out 2",
}
# Not run below: the tests themselves.
ELSEWHERE = {"make test"}
WAIT_S = 1200

pytestmark = pytest.mark.process


def _blocks(language: str) -> list[str]:
    return [block.strip() for block in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)]


def _environment(folder: Path) -> dict[str, str]:
    """With a folder for locks of its own: agents of one machine lock their devices in one place."""
    return {**os.environ, "LUT_LOCK_DIR": str(folder)}


def _command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "deploy.loop", *SMALL.split(), "--folder", str(folder), *more]


def _run(folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        _command(folder, *more),
        cwd=ROOT,
        env=_environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )


def _wait_until(condition: Callable[[], object], run: "subprocess.Popen[Any]", log: Callable[[], str]) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while not condition():
        assert run.poll() is None, f"the run ended early:\n{log()}"
        assert time.monotonic() < give_up_at, log()
        time.sleep(0.1)


@dataclass
class Stack:
    """What `make run` with --keep left up; `folder` stands for the README's `runs`."""

    run: "subprocess.Popen[bytes]"
    folder: Path
    port: str

    @property
    def summary(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return content

    def here(self, text: str) -> str:
        """Commands of the README, for this server and this folder."""
        return text.replace("8000", self.port).replace("runs/", f"{self.folder}/")

    def stop(self) -> None:
        """Ctrl-C, as the README says."""
        if self.run.poll() is None:
            os.killpg(self.run.pid, signal.SIGINT)
            self.run.wait(WAIT_S)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`make run` with --keep, as the README starts it, on a free port and a small input."""
    folder = tmp_path_factory.mktemp("runs")
    log = folder / "log"
    arguments = f"--keep --port 0 {SMALL} --folder {folder / 'quickstart'} --json {folder / 'summary.json'}"
    with log.open("w") as output:
        run = subprocess.Popen(
            ["make", "run", f"ARGS={arguments}"],
            cwd=ROOT,
            env=_environment(folder),
            start_new_session=True,
            stderr=output,
        )
    try:
        _wait_until(lambda: "stay up" in log.read_text(), run, log.read_text)
        url = (folder / "quickstart" / "server.url").read_text().strip()
        yield Stack(run, folder, url.rpartition(":")[2])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def test_the_derived_network_is_measured_beside_its_prediction(stack: Stack) -> None:
    summary = stack.summary
    assert summary["keys"] == summary["keys_measured"] > 80
    assert summary["measured_us"] > 0
    assert summary["raw_error_rel"] == pytest.approx(summary["raw_us"] / summary["measured_us"] - 1)
    assert summary["error_rel"] == pytest.approx(summary["predicted_us"] / summary["measured_us"] - 1)
    assert summary["low_us"] <= summary["predicted_us"] <= summary["high_us"]
    # Predictions and the network are of one unit; how near they come is a matter of the benchmarks.
    for predicted in ("raw_us", "predicted_us"):
        assert 1e-2 < summary[predicted] / summary["measured_us"] < 1e2
    assert summary["fps"] == pytest.approx(1e6 / summary["ran_us"])


def test_the_found_network_stands_beside_random_ones(stack: Stack) -> None:
    summary = stack.summary
    assert summary["predicted_us"] <= summary["ceiling_us"]
    assert summary["latency_percentile"] <= 0.25
    assert 1 <= summary["candidates_per_cell"] <= 5
    assert summary["chosen_among"]
    of_random = summary["random_accuracies"]
    assert len(of_random) == 8
    assert summary["random_accuracy_median"] == pytest.approx(statistics.median(of_random))
    assert all(0 <= accuracy <= 1 for accuracy in (summary["accuracy"], *of_random))


def test_every_stage_has_its_time(stack: Stack) -> None:
    summary = stack.summary
    assert list(summary["stages_s"]) == [
        "starting",
        "profiling",
        "calibrating",
        "scenes",
        "searching",
        "choosing",
        "comparing",
        "measuring",
        "pictures",
    ]
    assert all(seconds > 0 for seconds in summary["stages_s"].values())
    assert summary["total_s"] >= sum(summary["stages_s"].values())


def test_genotype_pictures_and_database_are_where_it_says(stack: Stack) -> None:
    summary = stack.summary
    assert json.loads(Path(summary["genotype"]).read_text())["cells"]
    assert summary["pictures"]
    for picture in summary["pictures"]:
        assert Path(picture).read_bytes().startswith(b"\x89PNG")
    assert any(Path(summary["database"]).iterdir())


def test_both_ways_of_make_run_are_in_the_readme() -> None:
    started = [block for block in _blocks("sh") if block.startswith("make run")]
    assert started == ["make run", 'make run ARGS="--keep --port 8000"']


def test_the_tour(stack: Stack) -> None:
    """Every command of the README is run: a new one without a way to run it here fails."""
    tour = [block for block in _blocks("sh") if not block.startswith("make run") and block not in ELSEWHERE]
    lines = [line for block in tour for line in block.splitlines()]
    assert lines
    script = ["set -eo pipefail"]
    for line in lines:
        command = stack.here(line)
        command += next((more for start, more in SHORTER.items() if command.startswith(start)), "")
        script += [
            f"echo {shlex.quote('$ ' + command)}",
            command.replace("curl ", "curl --fail --silent --show-error "),
        ]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=ROOT,
        env=_environment(stack.folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "median_us," in done.stdout, "the CSV of the table"
    assert "measured" in done.stdout
    assert "predicted" in done.stdout


def test_the_python_example(stack: Stack) -> None:
    (example,) = _blocks("python")
    small = stack.here(example).replace("Space()", "Space(height=65, width=129)")
    python = ROOT / ".venv" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", small], cwd=ROOT, capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("µs") == 5


def test_ctrl_c_leaves_nothing_running_and_a_second_run_measures_nothing_again(stack: Stack, tmp_path: Path) -> None:
    first = stack.summary
    stack.stop()
    _assert_all_end(stack.folder)
    (database,) = Path(first["database"]).glob("*.sqlite")
    before = _measurements_in(database)
    path = tmp_path / "second.json"
    done = _run(stack.folder / "quickstart", "--json", str(path))
    assert done.returncode == 0, done.stderr
    second = json.loads(path.read_text())
    assert second["keys_measured"] == 0
    # The tour measured more networks meanwhile. By a calibration that knows them, another one may be found.
    is_same = Path(second["genotype"]).read_text() == Path(first["genotype"]).read_text()
    assert _measurements_in(database) - before == (0 if is_same else 1)
    if is_same:
        assert second["raw_us"] == first["raw_us"]
        assert second["measured_us"] == first["measured_us"]


def _measurements_in(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (number,) = connection.execute("SELECT count(*) FROM measurements").fetchone()
    return int(number)


@contextmanager
def _running(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The loop for the length of a `with` block."""
    run = subprocess.Popen(_command(folder), cwd=ROOT, env=_environment(folder), stderr=subprocess.PIPE, text=True)
    try:
        yield run
    finally:
        run.kill()
        run.communicate(timeout=WAIT_S)


def _processes_of(folder: Path) -> list[str]:
    """Command lines of running processes that name `folder`."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if str(folder) in line]


def _assert_all_end(folder: Path) -> None:
    give_up_at = time.monotonic() + WAIT_S
    while processes := _processes_of(folder):
        assert time.monotonic() < give_up_at, f"left running: {processes}"
        time.sleep(0.1)


@pytest.mark.parametrize("name", ["lut-server", "profiler-agent"])
def test_a_dying_process_ends_the_run_with_a_message_and_no_orphan(tmp_path: Path, name: str) -> None:
    log = tmp_path / "agent.log"
    with _running(tmp_path) as run:
        _wait_until(lambda: log.exists() and "to measure" in log.read_text(), run, lambda: "")
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        victim = next(pid for pid in children if name in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(int(victim), signal.SIGKILL)
        _, stderr = run.communicate(timeout=WAIT_S)
    assert run.returncode not in (0, None)
    assert name.split("-")[1] in stderr
    assert "SIGKILL" in stderr
    _assert_all_end(tmp_path)


def test_killing_the_run_itself_leaves_no_orphan(tmp_path: Path) -> None:
    with _running(tmp_path) as run:
        _wait_until((tmp_path / "agent.log").exists, run, lambda: "")
        run.kill()
        run.wait()
        _assert_all_end(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--height", "3"], "height"), (["--steps", "0"], "steps"), (["--budget", "-1"], "budget")],
)
def test_bad_values_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], named: str
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process is not the run's
    with pytest.raises(SystemExit) as ended:
        loop.main(["--folder", str(tmp_path), *arguments])
    assert isinstance(ended.value.code, str), "the message, with exit code 1"
    assert named in ended.value.code
    assert not list(tmp_path.iterdir()), "nothing was begun"
