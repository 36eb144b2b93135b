"""Generated scenes: the same files whatever makes them, in the layout that the loader reads, with every class."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.data.cityscapes import LABELS as CITYSCAPES
from lgcnet_search.data.cityscapes import list_files
from lgcnet_search.data.layouts import LAYOUTS
from lgcnet_search.data.views import Resized
from street_scenes.camera import NEAR_M, Camera, clipped
from street_scenes.files import MANIFEST, TOWNS, SceneError, ensure, scene
from street_scenes.png import write_png
from street_scenes.textures import SIDE, atlas

SIZE = (64, 128)


def files(root: Path) -> dict[str, str]:
    """Every file under the root by its name, with its digest."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.png"))
    }


def test_processes_order_and_count_change_no_file(tmp_path: Path) -> None:
    many = ensure(tmp_path / "many", {"train": 14, "val": 3}, SIZE, seed=4, workers=2)
    alone = ensure(tmp_path / "alone", {"val": 1, "train": 5}, SIZE, seed=4, workers=1)
    assert len(files(many)) == 2 * 17
    assert files(alone).items() <= files(many).items()
    assert not files(alone).items() & files(ensure(tmp_path / "other", {"train": 2}, SIZE, seed=5)).items()


def test_the_layout_is_that_of_cityscapes(tmp_path: Path) -> None:
    root = ensure(tmp_path, {"train": 9, "val": 4, "test": 3}, SIZE, workers=1)
    towns = {path.name for path in (root / "leftImg8bit").glob("*/*")}
    assert towns == set(TOWNS["train"]) | set(TOWNS["val"]) | set(TOWNS["test"])
    assert (root / "leftImg8bit/train/ahornburg/ahornburg_000000_000019_leftImg8bit.png").is_file()
    assert (root / "gtFine/train/ahornburg/ahornburg_000000_000019_gtFine_labelIds.png").is_file()
    data = LAYOUTS["cityscapes"].open(root, "train", Resized(SIZE))
    assert len(data) == 9
    image, label = data[0]
    made = scene("train", 0, SIZE)
    stored = list_files(root, "train")[0]
    assert np.array_equal(np.asarray(Image.open(stored.image)), made.image)
    assert np.array_equal(label.numpy(), np.take(CITYSCAPES.train_ids, made.labels))
    assert image.shape == (3, *SIZE)


def test_every_class_occurs_and_rare_ones_rarely() -> None:
    counts = np.zeros(256, dtype=np.int64)
    for index in range(60):
        counts += np.bincount(scene("train", index, (128, 256)).labels.reshape(-1), minlength=256)
    share = {label.name: counts[label.id] / counts.sum() for label in CITYSCAPES.labels}
    assert not CITYSCAPES.unknown(counts.tolist())
    assert all(share[name] > 0 for name in CITYSCAPES.names)
    assert share["road"] > 0.15
    for rare in ("motorcycle", "bicycle", "rider", "train", "bus", "wall", "traffic light"):
        assert share[rare] < 0.05
    ignored = sum(
        value for label, value in zip(CITYSCAPES.labels, share.values(), strict=True) if label.train_id == IGNORE
    )
    assert 0 < ignored < 0.2


def test_a_scene_looks_the_same_at_another_size() -> None:
    small, large = scene("val", 1, (128, 256)).labels, scene("val", 1, (256, 512)).labels
    assert (large[::2, ::2] == small).mean() > 0.93


def test_odd_sizes() -> None:
    made = scene("train", 3, (97, 193))
    assert made.image.shape == (97, 193, 3)
    assert made.labels.shape == (97, 193)


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    ensure(tmp_path, {"train": 6}, SIZE, workers=1, progress=lambda there, total: seen.append((there, total)))
    assert seen[-1] == (6, 6)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    ensure(tmp_path, {"train": 6}, SIZE, workers=1, progress=lambda *_: pytest.fail("made again"))
    ensure(tmp_path, {"train": 8}, SIZE, workers=1)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert len(after) == 16
    assert before.items() <= after.items()


def test_a_half_made_folder_is_completed(tmp_path: Path) -> None:
    whole = files(ensure(tmp_path / "whole", {"train": 4}, SIZE, workers=1))
    root = ensure(tmp_path / "half", {"train": 4}, SIZE, workers=1)
    manifest = json.loads((root / MANIFEST).read_text())
    (root / MANIFEST).write_text(json.dumps({**manifest, "complete": False}))
    image, label = list_files(root, "train")[1]
    image.unlink()
    label.with_name(label.name + ".123.tmp").write_bytes(b"half")
    ensure(root, {"train": 4}, SIZE, workers=1)
    assert files(root) == whole
    assert not list(root.rglob("*.png.*"))


@pytest.mark.parametrize("broken", [{"seed": 7}, {"generator": "older"}, {"size": [32, 64]}])
def test_another_recipe_is_made_anew(tmp_path: Path, broken: dict[str, object]) -> None:
    root = ensure(tmp_path, {"train": 2}, SIZE, workers=1)
    whole = files(root)
    manifest = json.loads((root / MANIFEST).read_text())
    (root / MANIFEST).write_text(json.dumps({**manifest, **broken}))
    for path in root.rglob("*.png"):
        path.write_bytes(b"other")
    ensure(root, {"train": 2}, SIZE, workers=1)
    assert files(root) == whole


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
    whole = files(ensure(tmp_path / "whole", {"train": 2}, SIZE, workers=1))
    assert files(ensure(root, {"train": 2}, SIZE, workers=1)) == whole
    (root / MANIFEST).write_text("half")
    for path in root.rglob("*.png"):
        path.write_bytes(b"other")
    assert files(ensure(root, {"train": 2}, SIZE, workers=1)) == whole


def test_fewer_pictures_leave_no_others(tmp_path: Path) -> None:
    ensure(tmp_path, {"train": 4, "val": 2}, SIZE, workers=1)
    ensure(tmp_path, {"train": 3}, SIZE, workers=1)
    assert len(files(tmp_path)) == 6


def test_foreign_data_is_left_alone(tmp_path: Path) -> None:
    image = tmp_path / "leftImg8bit" / "train" / "aachen" / "aachen_000000_000019_leftImg8bit.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(image)
    before = files(tmp_path)
    with pytest.raises(SceneError, match="not generated here"):
        ensure(tmp_path, {"train": 1}, SIZE)
    assert files(tmp_path) == before


def test_wrong_wishes_are_named(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="unknown split 'dev'"):
        ensure(tmp_path, {"dev": 1}, SIZE)
    with pytest.raises(SceneError, match="8×8 is too small"):
        ensure(tmp_path, {"train": 1}, (8, 8))


def test_pngs_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for shape in ((7, 5, 3), (6, 9)):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        write_png(tmp_path / "a.png", pixels)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), pixels)


def test_the_camera_sees_a_known_point() -> None:
    camera = Camera((100, 200), 200.0, (0.0, 1.5, 0.0), 0.0, 0.0, 0.0)
    seen = camera.seen(np.array([[1.0, 0.0, 10.0]]))
    assert camera.pixels(seen).tolist() == [[100 + 200 * 0.1, 50 + 200 * 0.15]]


def test_clipping_keeps_what_is_ahead() -> None:
    square = np.array([[0, 0, -1], [1, 0, -1], [1, 0, 3], [0, 0, 3.0]])
    kept = clipped(square)
    assert kept[:, 2].min() == pytest.approx(NEAR_M)
    assert sorted(kept[:, 0].tolist()) == [0, 0, 1, 1]
    assert len(clipped(square - [0, 0, 5.0])) == 0


def test_the_atlas_holds_every_level() -> None:
    texels, start = atlas()
    sizes = np.diff([*start.tolist(), len(texels)])
    assert sizes[0] % (SIDE * SIDE) == 0
    assert (sizes[:-1] == 4 * sizes[1:]).all()
