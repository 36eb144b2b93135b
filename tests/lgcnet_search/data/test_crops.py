"""Pictures cut out of scenes are of the class in their middle, and are kept."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lgcnet_search.data import crops as scene_crops
from lgcnet_search.data.cityscapes import LABELS as CITYSCAPES
from lgcnet_search.data.cityscapes import list_files
from lgcnet_search.data.imagenet import ImageNet
from lgcnet_search.data.views import CenterCrop
from street_scenes import files as street_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    return street_scenes.ensure(root, {"train": 2, "val": 1}, (192, 384), workers=1)


def test_a_folder_in_imagenets_layout(scenes: Path, tmp_path: Path) -> None:
    root = scene_crops.cut(scenes, tmp_path)
    train, val = (ImageNet(root, split, CenterCrop((32, 32))) for split in ("train", "val"))
    assert train.classes == val.classes
    assert len(train.classes) == CITYSCAPES.classes
    assert 19 < len(train) <= 2 * 2 * 19
    before = {path: path.stat().st_mtime_ns for path, _ in train.files}
    scene_crops.cut(scenes, tmp_path)
    assert {path: path.stat().st_mtime_ns for path, _ in train.files} == before


def test_crops_of_other_scenes_are_made_anew(scenes: Path, tmp_path: Path) -> None:
    old = street_scenes.ensure(tmp_path / "old", {"train": 3, "val": 1}, (192, 384), seed=1, workers=1)
    scene_crops.cut(old, tmp_path / "classes")
    cut_again = pictures(scene_crops.cut(scenes, tmp_path / "classes"))
    assert cut_again == pictures(scene_crops.cut(scenes, tmp_path / "fresh"))


def test_a_killed_run_leaves_no_half_picture(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    replace = Path.replace

    def killed_at_a_picture(part: Path, target: Path) -> Path:
        if target.suffix == ".jpg":
            part.write_bytes(part.read_bytes()[:100])
            raise Killed
        return replace(part, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed_at_a_picture)
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # who is killed tidies up nothing
        with pytest.raises(Killed):
            scene_crops.cut(scenes, tmp_path / "classes")
    assert pictures(scene_crops.cut(scenes, tmp_path / "classes")) == pictures(
        scene_crops.cut(scenes, tmp_path / "fresh")
    )


def pictures(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("*/*/*.jpg")}


def test_the_middle_is_of_the_class(scenes: Path, tmp_path: Path) -> None:
    scene_crops.cut(scenes, tmp_path)
    (files,) = list_files(scenes, "val")
    scene = np.asarray(Image.open(files.image).convert("RGB"), dtype=float)
    labels = np.asarray(Image.open(files.label))
    half = scene_crops.SIDE // 2
    for path in (tmp_path / "val").glob("*/*.jpg"):
        (value,) = (label.id for label in CITYSCAPES.labels if label.name == path.parent.name.replace("_", " "))
        cut = np.asarray(Image.open(path), dtype=float)
        difference = min(
            np.abs(scene[row - half : row + half, column - half : column + half] - cut).mean()
            for row, column in np.argwhere(labels == value)
            if half <= row < labels.shape[0] - half and half <= column < labels.shape[1] - half
        )
        assert difference < 12, path  # JPEG
