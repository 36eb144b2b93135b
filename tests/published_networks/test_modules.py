"""Whole modules as a space: what docs/search-spaces.md shows runs, an agent finds what it builds."""

import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from latency_tables.contract import NetworkSpec
from published_networks.modules import ModuleSpace

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "search-spaces.md"


def make_network(channels: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels), nn.ReLU())


@pytest.fixture
def mine(tmp_path: Path) -> ModuleSpace:
    source = tmp_path / "mine.py"
    source.write_text("first")
    return ModuleSpace("mine", {"small": make_network}, source)


def test_the_lines_of_the_document_make_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = DOCUMENT.read_text("utf-8").partition("## Whole modules")[2]
    code = re.findall(r"```python\n(.*?)```", text, re.S)
    lines = [line for block in code[:2] for line in block.splitlines() if line and "import" not in line]
    assert len(lines) <= 5
    (tmp_path / "mine.py").write_text(code[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    try:
        from mine import space  # type: ignore[import-not-found]
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"the document's example is of torchvision: {error}")

    module = space.build_operation(space.operation("resnet18", (3, 224, 224)))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules())
    with torch.inference_mode():
        assert module(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_params_reach_the_factory_and_batch_norm_is_folded(mine: ModuleSpace) -> None:
    spec = mine.operation("small", (3, 8, 8), channels=7)
    module = mine.build_operation(spec)
    assert [type(layer) for layer in module.children()] == [nn.Conv2d, nn.ReLU]
    assert module(torch.zeros(1, 3, 8, 8)).shape == (1, 7, 6, 6)
    assert spec != mine.operation("small", (3, 8, 8))


def test_another_text_is_another_space(mine: ModuleSpace, tmp_path: Path) -> None:
    spec = mine.operation("small", (3, 8, 8))
    (tmp_path / "mine.py").write_text("second")
    later = ModuleSpace("mine", {"small": make_network}, tmp_path / "mine.py")
    assert later.digest != mine.digest
    with pytest.raises(ValueError, match="install the same version of mine on both machines"):
        later.build_operation(spec)


def test_a_network_is_one_operation_and_no_other(mine: ModuleSpace) -> None:
    spec = mine.network(mine.operation("small", (3, 8, 8)))
    assert isinstance(mine.build_network(spec), nn.Sequential)
    with pytest.raises(ValueError, match="genotype: no operation of space 'mine'"):
        mine.build_network(NetworkSpec.model_validate({**spec.model_dump(), "genotype": "{}"}))
    with pytest.raises(ValueError, match="operations: not the one of the genotype"):
        mine.build_network(NetworkSpec.model_validate({**spec.model_dump(), "input_shape": (3, 9, 9)}))
