"""Every command of the README is run: a new one without a way to run it here fails."""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SMALL = (
    "--device cpu --height 65 --width 129 --budget 3 --steps 2 --images 4 --networks 3 --crop 64 128 --proxy-channels 2"
)
# What makes a command of the tour small enough for a test.
SHORTER = {
    "lgcnet-search profile": " --height 49 --width 97 --budget 3 --calibrate 3",
    "lgcnet-search calibrate": " --height 49 --width 97 --networks 4",
    "lgcnet-search search": " --height 65 --width 129 --steps 2 --images 4 --crop 64x128 --proxy-channels 2",
    "lgcnet-search finetune": " --size 65x129 --images 4 --held-out 2 --epochs 1 --batch 2",
    "lgcnet-search evaluate": " --images 4 --held-out 2",
}
# Not run below: the tests themselves.
ELSEWHERE = {"make test"}
LOOP_S = 600


def _blocks(language: str) -> list[str]:
    return [block.strip() for block in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)]


@dataclass(frozen=True)
class Kept:
    """What `make run` with --keep left up, and the folder that stands for `runs`."""

    port: str
    runs: Path
    environment: dict[str, str]

    def here(self, text: str) -> str:
        """Commands of the README, for this server and this folder."""
        return text.replace("8000", self.port).replace("runs/", f"{self.runs}/")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """`make run` with --keep, as the README starts it, on a free port and a small input."""
    runs = tmp_path_factory.mktemp("runs")
    # With a TMPDIR of its own, because agents of one machine lock their devices there.
    environment = {**os.environ, "TMPDIR": str(runs)}
    folder, log = runs / "quickstart", runs / "said"
    arguments = f"--keep --port 0 {SMALL} --folder {folder}"
    with log.open("w") as said:
        run = subprocess.Popen(
            ["make", "run", f"ARGS={arguments}"], cwd=ROOT, env=environment, start_new_session=True, stderr=said
        )
    try:
        give_up_at = time.monotonic() + LOOP_S
        while "stay up" not in log.read_text():
            assert run.poll() is None, f"make run ended early:\n{log.read_text()}"
            assert time.monotonic() < give_up_at, log.read_text()
            time.sleep(0.2)
        url = (folder / "server.url").read_text()
        yield Kept(url.strip().rpartition(":")[2], runs, environment)
        os.killpg(run.pid, signal.SIGINT)
        run.wait(60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def test_both_ways_of_make_run_are_in_the_readme() -> None:
    started = [block for block in _blocks("sh") if block.startswith("make run")]
    assert started == ["make run", 'make run ARGS="--keep --port 8000"']


def test_the_tour(kept: Kept) -> None:
    tour = [block for block in _blocks("sh") if not block.startswith("make run") and block not in ELSEWHERE]
    lines = [line for block in tour for line in block.splitlines()]
    assert lines
    script = ["set -eo pipefail"]
    for line in lines:
        command = kept.here(line)
        command += next((more for start, more in SHORTER.items() if command.startswith(start)), "")
        script += [
            f"echo {shlex.quote('$ ' + command)}",
            command.replace("curl ", "curl --fail --silent --show-error "),
        ]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=ROOT,
        env=kept.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LOOP_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "median_us," in done.stdout, "the CSV of the table"
    assert "measured" in done.stdout
    assert "predicted" in done.stdout


def test_the_python_example(kept: Kept) -> None:
    (example,) = _blocks("python")
    small = kept.here(example).replace("Space()", "Space(height=65, width=129)")
    python = ROOT / ".venv" / "bin" / "python"
    done = subprocess.run([str(python), "-c", small], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("µs") == 5
