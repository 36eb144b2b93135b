"""Stands for deploy/gpu_parts.py where only the running of parts is tested: loads nothing, so it starts at once."""

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Day(NamedTuple):
    folder: Path
    device: str
    small: bool


class Part(NamedTuple):
    limit_s: float
    work: Callable[[Day], Mapping[str, Any]]


def _fail(day: Day) -> Mapping[str, Any]:
    raise RuntimeError(f"nothing works on {day.device}")


def _hang(day: Day) -> Mapping[str, Any]:
    (day.folder / "child").write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)
    return {}


def _work(day: Day) -> Mapping[str, Any]:
    return {"seen": day.device}


def parts(_: Day) -> dict[str, Part]:
    return {"fails": Part(30, _fail), "hangs": Part(4, _hang), "works": Part(30, _work), "late": Part(0, _work)}
