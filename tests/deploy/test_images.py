"""The steps of the images, without a container engine: each Dockerfile's COPY and pip lines in a clean virtual
environment, then its entry point and health check. What needs root or a GPU machine is left out, by name.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.processes import Server

ROOT = Path(__file__).parents[2]
NOT_HERE = (
    "apt-get ",  # root
    "useradd ",  # root
    "adduser ",  # root
    "python3 -m venv ",  # the rehearsal's own environment stands for it
    "rm -rf /var/lib/apt/",
    "install --directory ",  # root
    "pip uninstall --yes onnxruntime",  # its GPU build needs CUDA
    "pip install --no-cache-dir onnxruntime-gpu",
)


@dataclass
class Image:
    """A Dockerfile's instructions, as far as they are about this project."""

    copies: list[tuple[list[str], str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Image":
        image = cls()
        text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word == "COPY":
                *sources, target = rest.split()
                image.copies.append((sources, target))
            elif word == "RUN":
                image.runs += [part.strip() for part in rest.split("&&")]
            elif word == "ARG":
                name, _, value = rest.partition("=")
                image.arguments[name] = value.strip('"')
            elif word == "CMD":
                image.command = json.loads(rest)
            elif word == "HEALTHCHECK":
                image.health = json.loads(rest.removeprefix("CMD "))
        return image

    def rehearse(self, folder: Path, replaced: dict[str, str]) -> Path:
        """Copy and install as the image does; the folder with the commands that it installed."""
        work, venv = folder / "work", folder / "venv"
        work.mkdir()
        for sources, target in self.copies:
            for source in sources:
                place = work / target / (Path(source).name if target.endswith("/") else "")
                place.parent.mkdir(parents=True, exist_ok=True)
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, place)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        for run in self.runs:
            if not run.startswith(NOT_HERE):
                line = run
                for old, new in (
                    *replaced.items(),
                    *((f"${{{name}}}", value) for name, value in self.arguments.items()),
                ):
                    line = line.replace(old, new)
                subprocess.run([venv / "bin" / "pip", *shlex.split(line)[1:]], cwd=work, check=True)
        return venv / "bin"


def test_every_step_is_known() -> None:
    """A new step of an image is rehearsed, or named here as one that cannot be."""
    for name in ("server", "agent"):
        image = Image.read(ROOT / "deploy" / "images" / f"{name}.Dockerfile")
        assert image.command
        assert all(run.startswith((*NOT_HERE, "pip install ")) for run in image.runs), image.runs
        for sources, _ in image.copies:
            assert all((ROOT / source).exists() for source in sources)


@pytest.mark.slow
def test_the_server_image_serves(tmp_path: Path) -> None:
    image = Image.read(ROOT / "deploy" / "images" / "server.Dockerfile")
    commands = image.rehearse(tmp_path, {})
    helped = subprocess.run([commands / image.command[0], "--help"], capture_output=True, text=True, check=True)
    assert "token" in helped.stdout
    server = Server(f"sqlite:///{tmp_path}/lut.sqlite", tmp_path, python=commands / "python")
    server.start()
    try:
        python, option, code = image.health
        here = code.replace("http://127.0.0.1:8000", server.url)
        assert subprocess.run([commands / python, option, here], check=False).returncode == 0
        for module in ("psycopg", "pyarrow.parquet"):
            subprocess.run([commands / "python", "-c", f"import {module}"], check=True)
        without_torch = "import importlib.util as u; assert u.find_spec('torch') is None"
        subprocess.run([commands / "python", "-c", without_torch], check=True)
    finally:
        server.kill()


@pytest.mark.slow
def test_the_agent_image_finds_its_device(tmp_path: Path) -> None:
    """Without TensorRT, which needs CUDA's compiler; with the torch that pip has for this machine."""
    image = Image.read(ROOT / "deploy" / "images" / "agent.Dockerfile")
    commands = image.rehearse(tmp_path, {",tensorrt]": "]"})
    helped = subprocess.run([commands / image.command[0], "--help"], capture_output=True, text=True, check=True)
    assert "doctor" in helped.stdout
    doctor = subprocess.run(
        [commands / image.command[0], "doctor", "--device", "cpu"], capture_output=True, text=True, check=False
    )
    assert doctor.returncode == 0, doctor.stderr
    assert "lgcnet" in doctor.stdout
    collected = subprocess.run(
        [
            commands / "python",
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-c",
            "/dev/null",
            "--rootdir",
            ".",
            "tests/profiler_agent",
        ],
        cwd=tmp_path / "work",
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == 0, collected.stdout
