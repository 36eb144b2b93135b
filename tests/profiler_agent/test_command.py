"""What the doctor prints."""

import pytest
from rich.console import Console

from latency_tables.contract import Capability
from profiler_agent.__main__ import _show_capabilities


def test_what_works_comes_first_and_what_is_to_be_installed_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    missing = "mode 'onnxruntime': No module named 'onnxruntime'; pip install 'lgcnet[onnx]'"
    _show_capabilities(
        Console(width=160),
        (
            Capability(mode="tensorrt", precision="fp32", reason="needs an NVIDIA GPU"),
            Capability(mode="tensorrt", precision="fp16", reason="needs an NVIDIA GPU"),
            Capability(mode="onnxruntime", precision="fp32", reason=missing),
            Capability(mode="pytorch", precision="tf32", reason="CPUs have none"),
            Capability(mode="pytorch", precision="fp32", reason=None),
        ),
    )
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line] == [
        ["pytorch", "fp32", "yes"],
        ["tensorrt", "all", "needs an NVIDIA GPU"],
        ["onnxruntime", "all", missing],
        ["pytorch", "tf32", "CPUs have none"],
    ]
