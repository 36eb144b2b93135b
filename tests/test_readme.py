"""Every command of the README is run: a new one without a way to run it here fails."""

import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SMALL = (
    "--device cpu --height 65 --width 129 --budget 3 --steps 2 --images 4 --networks 3 --crop 64 128 --proxy-width 2"
)
# What makes a command of the tour small enough for a test.
SHORTER = {
    "lgcnet-search profile": " --height 49 --width 97 --budget 3 --calibrate 3",
    "lgcnet-search calibrate": " --height 49 --width 97 --networks 4",
    "lgcnet-search search": " --height 65 --width 129 --steps 2 --images 4 --crop 64x128 --proxy-width 2",
    "lgcnet-search finetune": " --size 65x129 --images 4 --held-out 2 --epochs 1 --batch 2",
    "lgcnet-search evaluate": " --images 4 --held-out 2",
}
# Not run below: the tests themselves.
ELSEWHERE = {"make test"}


def _blocks(language: str) -> list[str]:
    return [block.strip() for block in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """`make run` with --keep, as the README starts it, on a free port and a small input."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    folder = ROOT / "runs" / f"readme-{number}"
    arguments = f"--keep --port {number} {SMALL} --folder {folder}"
    run = subprocess.Popen(
        ["make", "run", f"ARGS={arguments}"], cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    assert run.stderr
    said = []
    for line in run.stderr:
        said.append(line)
        if "stay up" in line:
            break
    else:
        pytest.fail("make run ended early:\n" + "".join(said))
    yield number
    os.killpg(run.pid, signal.SIGINT)
    run.wait(60)
    subprocess.run(
        ["rm", "-r", str(folder), *(str(ROOT / "runs" / name) for name in ("mine", "trained", "table.csv"))],
        check=False,
    )


def test_both_ways_of_make_run_are_in_the_readme() -> None:
    started = [block for block in _blocks("sh") if block.startswith("make run")]
    assert started == ["make run", 'make run ARGS="--keep --port 8000"']


def test_the_tour(port: int) -> None:
    tour = [block for block in _blocks("sh") if not block.startswith("make run") and block not in ELSEWHERE]
    lines = [line for block in tour for line in block.splitlines()]
    assert lines
    script = ["set -eo pipefail"]
    for line in lines:
        command = line.replace("8000", str(port))
        command += next((more for start, more in SHORTER.items() if command.startswith(start)), "")
        script += [
            f"echo {shlex.quote('$ ' + command)}",
            command.replace("curl ", "curl --fail --silent --show-error "),
        ]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "median_us," in done.stdout, "the CSV of the table"
    assert "measured" in done.stdout
    assert "predicted" in done.stdout


def test_the_python_example(port: int) -> None:
    (example,) = _blocks("python")
    small = example.replace("8000", str(port)).replace("Space()", "Space(height=65, width_px=129)")
    python = ROOT / ".venv" / "bin" / "python"
    done = subprocess.run([str(python), "-c", small], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("µs") == 5
