"""A mode's own file holds all that the rest of the agent knows of it; no library is loaded to read it."""

import subprocess
import sys
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from deploy.readme import modes_table
from latency_tables.contract import Mode, Precision, Runtime
from profiler_agent.errors import JobFailed
from profiler_agent.machine.environment import inspect
from profiler_agent.runtimes import mode as modes
from profiler_agent.runtimes.interface import ModeEntry, Ran, RuntimeMode
from profiler_agent.runtimes.mode import MODES, library_versions, open_mode

CPU = torch.device("cpu")
LIBRARIES = ("onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "pycuda")


def refuse(runtime: Runtime, device: torch.device) -> RuntimeMode:
    raise ImportError(f"no library for {runtime} on {device}")


def entry(*precisions: Precision, distributions: tuple[str, ...] = ()) -> ModeEntry:
    return ModeEntry(refuse, "moon", {"cpu": precisions}, {"cpu": Ran("never run", "")}, distributions)


@pytest.mark.parametrize("mode", MODES)
def test_an_entry_names_kinds_and_precisions_that_exist_and_says_how_far_each_kind_has_come(mode: Mode) -> None:
    declared = MODES[mode]
    assert declared.precisions.keys() <= {"cpu", "cuda"}
    assert declared.precisions.keys() == declared.ran.keys()
    precisions = {precision for precisions in declared.precisions.values() for precision in precisions}
    assert precisions <= set(get_args(Precision))


def test_an_unknown_mode_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match=f"'pytorch', .*'{get_args(Mode)[-1]}'"):
        Runtime.model_validate({"mode": "tensor-rt"})


@pytest.mark.process
def test_entries_are_read_without_their_libraries_and_compiling_is_opened_without_the_compiler() -> None:
    """An agent opens every mode when it starts, and the compiler takes seconds to import."""
    code = f"""
import os, sys
sys.modules |= dict.fromkeys({LIBRARIES})
import torch
from latency_tables.contract import Runtime
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes.mode import MODES, open_mode
for mode in ("onnxruntime", "openvino"):
    try:
        open_mode(Runtime(mode=mode), torch.device("cpu"))
    except JobFailed as error:
        assert f"pip install 'lgcnet[{{MODES[mode].extra}}]'" in str(error), error
    else:
        raise AssertionError(mode)
os.environ["CXX"] = sys.executable  # any program that is there
compiling = open_mode(Runtime(mode="pytorch-compile"), torch.device("cpu"))
assert compiling.settings["cache_misses"] == 0
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_mode_is_refused_by_what_its_entry_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "MODES", {"pytorch": entry("fp32"), "tensorrt": MODES["tensorrt"]})
    with pytest.raises(JobFailed, match=r"'pytorch': no library for pytorch fp32.*pip install 'lgcnet\[moon\]'"):
        open_mode(Runtime(), CPU)
    with pytest.raises(JobFailed, match="precision 'fp16': mode 'pytorch' has fp32 on cpu"):
        open_mode(Runtime(precision="fp16"), CPU)
    with pytest.raises(JobFailed, match="mode 'tensorrt': needs an NVIDIA GPU"):
        open_mode(Runtime(mode="tensorrt"), CPU)


def test_a_library_has_the_version_of_its_first_installed_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {
        "pytorch": entry(),
        "openvino": entry(distributions=("no-such-distribution", "torch")),
        "tensorrt": entry(distributions=("no-such-distribution",)),
    }
    monkeypatch.setattr(modes, "MODES", entries)
    assert library_versions() == {"openvino": distribution_version("torch"), "tensorrt": None}


def test_the_environment_has_the_versions_of_installed_libraries() -> None:
    environment = inspect("cpu", {"onnxruntime": "1.31", "openvino": "2026.4", "tensorrt-rtx": None}).environment
    assert (environment.onnxruntime, environment.libraries) == ("1.31", (("openvino", "2026.4"),))
    assert environment.named["openvino"] == "2026.4"
    assert inspect("cpu", {"tensorrt-rtx": None}).environment.libraries is None


def test_the_readme_has_the_table_of_modes() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    assert modes_table() in readme, "run python -m deploy.readme"
