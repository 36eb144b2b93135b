"""Generated scenes are read as Cityscapes; pictures cut out of them are of the class in their middle, and are kept."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lgcnet_search.data import crops
from lgcnet_search.data.cityscapes import LABELS as CITYSCAPES
from lgcnet_search.data.cityscapes import list_files
from lgcnet_search.data.imagenet import ImageNet
from lgcnet_search.data.layouts import LAYOUTS
from lgcnet_search.data.views import CenterCrop, Resized
from street_scenes.files import ensure, scene

SIZE = (192, 384)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure(tmp_path_factory.mktemp("scenes"), {"train": 2, "val": 1}, SIZE, workers=1)


def test_generated_scenes_are_read_as_cityscapes(scenes: Path) -> None:
    data = LAYOUTS["cityscapes"].open(scenes, "train", Resized(SIZE))
    assert len(data) == 2
    image, label = data[0]
    drawn = scene("train", 0, SIZE)
    assert np.array_equal(np.asarray(Image.open(list_files(scenes, "train")[0].image)), drawn.image)
    assert image.shape == (3, *SIZE)
    assert np.array_equal(label.numpy(), np.take(CITYSCAPES.train_ids, drawn.labels))


def test_a_folder_in_imagenets_layout(scenes: Path, tmp_path: Path) -> None:
    root = crops.cut(scenes, tmp_path)
    train, val = (ImageNet(root, split, CenterCrop((32, 32))) for split in ("train", "val"))
    assert train.classes == val.classes
    assert len(train.classes) == CITYSCAPES.classes
    assert 19 < len(train) <= 2 * 2 * 19
    before = {path: path.stat().st_mtime_ns for path, _ in train.files}
    crops.cut(scenes, tmp_path)
    assert {path: path.stat().st_mtime_ns for path, _ in train.files} == before


def test_crops_of_other_scenes_are_cut_anew(scenes: Path, tmp_path: Path) -> None:
    old = ensure(tmp_path / "old", {"train": 3, "val": 1}, SIZE, seed=1, workers=1)
    crops.cut(old, tmp_path / "classes")
    assert pictures(crops.cut(scenes, tmp_path / "classes")) == pictures(crops.cut(scenes, tmp_path / "fresh"))


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
            crops.cut(scenes, tmp_path / "classes")
    assert pictures(crops.cut(scenes, tmp_path / "classes")) == pictures(crops.cut(scenes, tmp_path / "fresh"))


def pictures(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("*/*/*.jpg")}


def test_the_middle_is_of_the_class(scenes: Path, tmp_path: Path) -> None:
    crops.cut(scenes, tmp_path)
    (files,) = list_files(scenes, "val")
    picture = np.asarray(Image.open(files.image).convert("RGB"), dtype=float)
    labels = np.asarray(Image.open(files.label))
    half = crops.SIDE // 2
    for path in (tmp_path / "val").glob("*/*.jpg"):
        (id,) = (label.id for label in CITYSCAPES.labels if label.name == path.parent.name.replace("_", " "))
        crop = np.asarray(Image.open(path), dtype=float)
        difference = min(
            np.abs(picture[row - half : row + half, column - half : column + half] - crop).mean()
            for row, column in np.argwhere(labels == id)
            if half <= row < labels.shape[0] - half and half <= column < labels.shape[1] - half
        )
        assert difference < 12, path  # JPEG
