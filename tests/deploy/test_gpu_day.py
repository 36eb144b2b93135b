"""The day with a GPU, rehearsed on the CPU with the same code."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import gpu_day
from deploy.readme import between_marks
from latency_tables.contract import TableFile
from tests.support import few_parts
from tests.support.agents import wait_until

ROOT = Path(__file__).parents[2]


Rehearse = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def rehearse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rehearse:
    """The day with these options, in this process but for its parts; its last line, and all of them."""
    monkeypatch.chdir(ROOT)

    def rehearsed(*options: str) -> tuple[dict[str, Any], str]:
        gpu_day.main(["--device", "cpu", "--small", "--folder", str(tmp_path), *options])
        output = capsys.readouterr().out
        return json.loads(output.splitlines()[-1]), output

    return rehearsed


@pytest.mark.process
def test_a_table_and_a_step_are_rehearsed_and_not_repeated(rehearse: Rehearse, tmp_path: Path) -> None:
    wanted = ("--only", "table pytorch fp32", "--only", "search step, hard", "--only", "nvml")
    last, output = rehearse(*wanted)
    assert (last["parts"], last["done"]) == (3, 3), output
    day = json.loads((tmp_path / "day.json").read_text())
    table = day["table pytorch fp32"]
    assert len(TableFile.model_validate_json((tmp_path / table["file"]).read_bytes()).table.rows) == table["rows"] == 95
    assert day["search step, hard"]["gpu_hours"] > 0
    section = (tmp_path / "section.md").read_text()
    assert "| pytorch fp32 | 95 |" in section
    assert "2000 steps take" in section
    again, output = rehearse(*wanted)
    assert (again["done"], output.count("done earlier")) == (3, 3), output


@pytest.mark.slow
def test_all_of_it_is_rehearsed(rehearse: Rehearse, tmp_path: Path) -> None:
    last, output = rehearse("--limit", "900")
    assert last["done"] == last["parts"] > 6, output
    day = json.loads((tmp_path / "day.json").read_text())
    assert day["tests"]["exit_code"] == 0, day["tests"]
    assert day["doctor"]["modes"]["pytorch"]["fp32"] is None
    assert day["networks pytorch fp32"]["card"]["networks"] == 4


@pytest.mark.process
def test_parts_that_fail_or_hang_are_told_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "deploy.gpu_parts", few_parts)
    # So do the processes of the parts.
    stand_in = 'import sys\nfrom tests.support import few_parts\nsys.modules["deploy.gpu_parts"] = few_parts\n'
    (tmp_path / "sitecustomize.py").write_text(stand_in)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    monkeypatch.setattr(gpu_day, "LEAST_S", 1.0)
    gpu_day.main(["--device", "cpu", "--folder", str(tmp_path)])
    output = capsys.readouterr().out
    assert "fails: failed: RuntimeError: nothing works on cpu\n" in output
    assert "hangs: failed: took more than 4 s" in output
    assert "works: done in" in output
    assert "late: failed: no time was left" in output
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes())
    day = json.loads((tmp_path / "day.json").read_text())
    assert day["works"]["seen"] == "cpu"
    assert json.loads(output.splitlines()[-1])["done"] == 1
    gpu_day.main(["--device", "cpu", "--folder", str(tmp_path), "--only", "works"])
    assert "works: done earlier" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="--only tables: there is no such part; there are: fails, hangs"):
        gpu_day.main(["--device", "cpu", "--folder", str(tmp_path), "--only", "tables"])


def test_a_section_says_only_what_was_seen() -> None:
    card = {"networks": 12, "calibrated": {"mape": 0.01}, "raw": {"mape": 0.05}}
    day = {
        "doctor": {"device": {"name": "Made Up"}, "environment": {"driver": "580", "torch": "2.13"}},
        "table tensorrt fp16": {"error": "the mode is not installed"},
        "table pytorch fp32": {"rows": 95, "doubtful": 2, "sum_us": 12345.6, "seconds": 20.1},
        "networks pytorch fp32": {"card": card},
        "repeat pytorch fp32": {"median": 0.004, "p95": 0.02},
    }
    assert gpu_day.section(day) == (
        "Made Up: driver 580, torch 2.13.\n\n"
        "| table | rows | doubtful | sum of rows, ms | seconds |\n|---|---|---|---|---|\n"
        "| pytorch fp32 | 95 | 2 | 12.35 | 20.1 |\n\n"
        "- table tensorrt fp16: **failed**: the mode is not installed\n"
        "- networks pytorch fp32: 12 measured; each predicted by the others with a mean error of 1.00%, "
        "by the rows alone of 5.00%\n"
        "- repeat pytorch fp32: rows of two tables are 0.40% apart, 95 % of them 2.00%"
    )


def test_a_section_takes_the_place_of_the_one_before() -> None:
    text = "a\n<!-- gpu -->\nold\n<!-- end of gpu -->\nb\n"
    assert between_marks(text, "gpu", "new") == "a\n<!-- gpu -->\nnew\n<!-- end of gpu -->\nb\n"
    with pytest.raises(ValueError, match="no such mark"):
        between_marks("a\n", "gpu", "new")
