"""The table of modes holds all that the rest of the agent knows of them; nothing is loaded to read it."""

from importlib.metadata import version as distribution_version
from typing import get_args

import pytest
import torch

from latency_tables.contract import Environment, Mode, Precision, Runtime
from latency_tables.contract.devices import LIBRARIES
from profiler_agent.errors import JobFailed
from profiler_agent.runtimes import mode as modes
from profiler_agent.runtimes.mode import MODES, ModeEntry, library_versions, open_mode

CPU = torch.device("cpu")


def test_every_mode_of_the_contract_is_in_the_table() -> None:
    assert set(MODES) == set(get_args(Mode))


@pytest.mark.parametrize("mode", MODES)
def test_an_entry_names_kinds_precisions_and_fields_that_exist(mode: Mode) -> None:
    entry = MODES[mode]
    assert entry.precisions.keys() <= {"cpu", "cuda"}
    assert {precision for precisions in entry.precisions.values() for precision in precisions} <= set(
        get_args(Precision)
    )
    assert entry.libraries.keys() <= Environment.model_fields.keys()
    assert entry.libraries.keys() == {field for field, modes in LIBRARIES.items() if mode in modes}


def test_a_mode_is_refused_by_what_its_entry_says(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ModeEntry("profiler_agent.runtimes.missing:Mode", extra="moon", precisions={"cpu": ("fp32",)})
    monkeypatch.setattr(modes, "MODES", {"pytorch": entry, "tensorrt": MODES["tensorrt"]})
    with pytest.raises(JobFailed, match=r"profiler_agent.runtimes.missing.*pip install 'lgcnet\[moon\]'"):
        open_mode(Runtime(), CPU)
    with pytest.raises(JobFailed, match="precision 'fp16': mode 'pytorch' has fp32 on cpu"):
        open_mode(Runtime(precision="fp16"), CPU)
    with pytest.raises(JobFailed, match="mode 'tensorrt': needs an NVIDIA GPU"):
        open_mode(Runtime(mode="tensorrt"), CPU)


def test_the_environment_has_the_first_installed_distribution_of_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = {"torch": ("no-such-distribution", "torch"), "tensorrt": ("no-such-distribution",)}
    monkeypatch.setattr(modes, "MODES", {"pytorch": ModeEntry("a:B", "agent", {}, libraries)})
    versions = library_versions()
    assert versions["torch"] == distribution_version("torch")
    assert versions["tensorrt"] is None
