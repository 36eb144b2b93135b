"""Generated scenes: the same files whatever process draws them, in the layout of Cityscapes, with every class."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from street_scenes.files import MANIFEST, TOWNS, SceneError, ensure, scene

SIZE = (64, 128)
EVALUATED = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""The ids of Cityscapes' evaluated classes."""


def digests(root: Path) -> dict[str, str]:
    """Every picture under the root by its name, with its digest."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.png"))
    }


@pytest.mark.process
def test_processes_order_and_count_change_no_file(tmp_path: Path) -> None:
    many = digests(ensure(tmp_path / "many", {"train": 14, "val": 3}, SIZE, seed=4, workers=2))
    alone = digests(ensure(tmp_path / "alone", {"val": 1, "train": 5}, SIZE, seed=4, workers=1))
    assert len(many) == 2 * 17
    assert alone.items() <= many.items()
    assert not alone.items() & digests(ensure(tmp_path / "other", {"train": 2}, SIZE, seed=5, workers=1)).items()


def test_the_layout_is_that_of_cityscapes(tmp_path: Path) -> None:
    root = ensure(tmp_path, {"train": 9, "val": 4, "test": 3}, SIZE, workers=1)
    towns = {path.name for path in (root / "leftImg8bit").glob("*/*")}
    assert towns == set(TOWNS["train"]) | set(TOWNS["val"]) | set(TOWNS["test"])
    assert len(list((root / "leftImg8bit/train").glob("*/*"))) == 9
    drawn = scene("train", 0, SIZE)
    image = Image.open(root / "leftImg8bit/train/ahornburg/ahornburg_000000_000019_leftImg8bit.png")
    label = Image.open(root / "gtFine/train/ahornburg/ahornburg_000000_000019_gtFine_labelIds.png")
    assert (image.mode, label.mode) == ("RGB", "L")
    assert np.array_equal(np.asarray(image), drawn.image)
    assert np.array_equal(np.asarray(label), drawn.labels)


def test_every_class_occurs_and_rare_ones_rarely() -> None:
    counts = np.zeros(256, dtype=np.int64)
    for index in range(60):
        counts += np.bincount(scene("train", index, (128, 256)).labels.reshape(-1), minlength=256)
    share = counts / counts.sum()
    assert not share[34:].any()
    assert all(share[id] > 0 for id in EVALUATED.values())
    assert share[EVALUATED["road"]] > 0.15
    for rare in ("motorcycle", "bicycle", "rider", "train", "bus", "wall", "traffic light"):
        assert share[EVALUATED[rare]] < 0.05
    assert 0 < 1 - share[list(EVALUATED.values())].sum() < 0.2


def test_a_scene_looks_the_same_at_another_size() -> None:
    small, large = scene("val", 1, (128, 256)).labels, scene("val", 1, (256, 512)).labels
    assert (large[::2, ::2] == small).mean() > 0.93


@pytest.mark.parametrize("size", [(97, 193), (16, 16)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    drawn = scene("train", 3, size)
    assert drawn.image.shape == (*size, 3)
    assert drawn.labels.shape == size


def test_nothing_is_drawn_twice(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    ensure(tmp_path, {"train": 6}, SIZE, workers=1, progress=lambda number, total: calls.append((number, total)))
    assert calls[-1] == (6, 6)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    ensure(tmp_path, {"train": 6}, SIZE, workers=1, progress=lambda *_: pytest.fail("drawn again"))
    ensure(tmp_path, {"train": 8}, SIZE, workers=1)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert len(after) == 16
    assert before.items() <= after.items()


def test_an_unfinished_folder_is_completed(tmp_path: Path) -> None:
    whole = digests(ensure(tmp_path / "whole", {"train": 4}, SIZE, workers=1))
    root = ensure(tmp_path / "unfinished", {"train": 4}, SIZE, workers=1)
    manifest = json.loads((root / MANIFEST).read_text())
    (root / MANIFEST).write_text(json.dumps({**manifest, "complete": False}))
    (root / "leftImg8bit/train/buchental/buchental_000001_000019_leftImg8bit.png").unlink()
    label = root / "gtFine/train/buchental/buchental_000001_000019_gtFine_labelIds.png"
    label.with_name(label.name + ".123.tmp").write_bytes(b"half")
    (root / "gtFine/train/erlenfurt/erlenfurt_000002_000019_gtFine_labelIds.png").unlink()
    ensure(root, {"train": 4}, SIZE, workers=1)
    assert digests(root) == whole
    assert not list(root.rglob("*.png.*"))


@pytest.mark.parametrize("change", [{"seed": 7}, {"generator": "older"}, {"size": [32, 64]}])
def test_pictures_of_another_recipe_are_replaced(tmp_path: Path, change: dict[str, object]) -> None:
    root = ensure(tmp_path, {"train": 2}, SIZE, workers=1)
    whole = digests(root)
    manifest = json.loads((root / MANIFEST).read_text())
    (root / MANIFEST).write_text(json.dumps({**manifest, **change}))
    for path in root.rglob("*.png"):
        path.write_bytes(b"other")
    ensure(root, {"train": 2}, SIZE, workers=1)
    assert digests(root) == whole


def test_a_run_killed_while_it_removes_old_pictures_leaves_none_for_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    root = ensure(tmp_path / "scenes", {"train": 2}, SIZE, seed=1, workers=1)
    with monkeypatch.context() as patch:
        patch.setattr("street_scenes.files.shutil.rmtree", killed)
        with pytest.raises(Killed):
            ensure(root, {"train": 2}, SIZE, workers=1)
    whole = digests(ensure(tmp_path / "whole", {"train": 2}, SIZE, workers=1))
    assert digests(ensure(root, {"train": 2}, SIZE, workers=1)) == whole
    (root / MANIFEST).write_text("half")
    for path in root.rglob("*.png"):
        path.write_bytes(b"other")
    assert digests(ensure(root, {"train": 2}, SIZE, workers=1)) == whole


def test_fewer_pictures_leave_no_others(tmp_path: Path) -> None:
    ensure(tmp_path, {"train": 4, "val": 2}, SIZE, workers=1)
    ensure(tmp_path, {"train": 3}, SIZE, workers=1)
    assert len(digests(tmp_path)) == 6


def test_foreign_data_is_left_alone(tmp_path: Path) -> None:
    image = tmp_path / "leftImg8bit" / "train" / "aachen" / "aachen_000000_000019_leftImg8bit.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(image)
    before = digests(tmp_path)
    with pytest.raises(SceneError, match="not generated here"):
        ensure(tmp_path, {"train": 1}, SIZE)
    assert digests(tmp_path) == before


def test_refusals_name_field_value_and_way_out(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="unknown split 'dev'; use train, val, test"):
        ensure(tmp_path, {"dev": 1}, SIZE)
    with pytest.raises(SceneError, match="unknown split 'dev'; use train, val, test"):
        scene("dev", 0, SIZE)
    with pytest.raises(SceneError, match="size: 8×8 is too small; use at least 16×16"):
        ensure(tmp_path, {"train": 1}, (8, 8))
    with pytest.raises(SceneError, match="counts: -1 pictures of 'train'; use 0 or more"):
        ensure(tmp_path, {"train": -1}, SIZE)
    with pytest.raises(SceneError, match="workers: 0 is too few; use 1 or more"):
        ensure(tmp_path, {"train": 1}, SIZE, workers=0)
