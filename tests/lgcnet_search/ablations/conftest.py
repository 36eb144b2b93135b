"""A study that takes seconds: tiny networks, four scenes."""

from pathlib import Path

import pytest

from lgcnet_search.ablations.arms import ABLATIONS
from lgcnet_search.ablations.network import Study
from lgcnet_search.ablations.scale import Scale
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.space import Space
from street_scenes import files as street_scenes
from tests.support.tiny_spaces import make_table

SPACE = Space(height=65, width=97, channels=1)
SCALE = Scale(
    search_steps=2,
    search_batch=2,
    crop=(33, 49),
    proxy_channels=1,
    sampling="hard",
    supernet_steps=2,
    generations=2,
    population=2,
    train_steps=2,
    train_batch=2,
    train_crop=(33, 49),
    train_channels=1,
    input_size=(65, 97),
)
OPERATIONS = tuple(dict.fromkeys(spec for ablation in ABLATIONS.values() for spec in ablation.operations(SPACE)))
TABLE = make_table(OPERATIONS)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return street_scenes.ensure(tmp_path_factory.mktemp("scenes"), {"train": 4, "val": 2}, (65, 97), workers=1)


@pytest.fixture
def study(scenes: Path, tmp_path: Path) -> Study:
    return Study(SPACE, Latencies(TABLE), SCALE, DataFolder(scenes), tmp_path / "out")
