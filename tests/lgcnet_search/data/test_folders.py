"""The folder loaders on the published layouts, and what they say when a folder is wrong."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lgcnet_search.commands.options import SpaceOptions
from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.computing.how import ALONE
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.imagenet import ImageNet
from lgcnet_search.data.layouts import LAYOUTS
from lgcnet_search.data.loading import endless, in_order
from lgcnet_search.data.segmentation import open_rgb
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.data.views import CenterCrop, RandomCrop, RandomResizedCrop, Resized
from lgcnet_search.space.space import Space
from tests.support.layouts import camvid

CITYSCAPES, CAMVID = LAYOUTS["cityscapes"], LAYOUTS["camvid"]


def labels_of(root: Path) -> list[Path]:
    return sorted(root.glob("gtFine/train/*/*"))


def test_labels_become_train_ids(cityscapes_root: Path) -> None:
    data = CITYSCAPES.open(cityscapes_root, "train", Resized((64, 128)))
    assert len(data) == 6
    image, label = data[0]
    assert image.shape == (3, 64, 128)
    assert image.dtype == torch.float32
    ids = np.asarray(Image.open(labels_of(cityscapes_root)[0]))
    assert np.array_equal(label.numpy(), np.take(CITYSCAPES.labels.train_ids, ids))


def test_evaluation_keeps_the_labels_resolution(cityscapes_root: Path) -> None:
    image, label = CITYSCAPES.open(cityscapes_root, "train", Resized((49, 97)), full_labels=True)[0]
    assert image.shape == (3, 49, 97)
    assert label.shape == (64, 128)


def test_an_item_follows_from_seed_epoch_and_index(cityscapes_root: Path) -> None:
    views = RandomCrop((32, 32))
    once, again = (CITYSCAPES.open(cityscapes_root, "train", views, seed=1) for _ in range(2))
    assert torch.equal(once[2, 5][0], again[2, 5][0])
    assert not torch.equal(once[2, 5][0], once[2, 6][0])
    assert not torch.equal(once[2, 5][0], CITYSCAPES.open(cityscapes_root, "train", views, seed=2)[2, 5][0])


def test_coarse_labels_are_read_from_their_folder(cityscapes_root: Path) -> None:
    (cityscapes_root / "gtFine").rename(cityscapes_root / "gtCoarse")
    for path in cityscapes_root.glob("gtCoarse/*/*/*"):
        path.rename(path.with_name(path.name.replace("gtFine", "gtCoarse")))
    for folder in ("leftImg8bit", "gtCoarse"):
        (cityscapes_root / folder / "train").rename(cityscapes_root / folder / "train_extra")
    assert len(CITYSCAPES.open(cityscapes_root, "coarse", Resized((8, 8)))) == 6
    with pytest.raises(DataError, match="split: CamVid has no 'coarse'; it has train, val, test"):
        CAMVID.open(cityscapes_root, "coarse", Resized((8, 8)))


def test_missing_folders_name_the_layout(cityscapes_root: Path) -> None:
    with pytest.raises(DataError, match=r"leftImg8bit/val.*holds gtFine, leftImg8bit.*Expected layout.*labelIds"):
        CITYSCAPES.open(cityscapes_root, "val", Resized((8, 8)))
    with pytest.raises(DataError, match="does not exist"):
        CITYSCAPES.open(cityscapes_root / "nowhere", "train", Resized((8, 8)))


def test_an_image_without_label_is_named(cityscapes_root: Path) -> None:
    labels_of(cityscapes_root)[1].unlink()
    with pytest.raises(DataError, match=r"1 of 6 images have no label.*aa_000002"):
        CITYSCAPES.open(cityscapes_root, "train", Resized((8, 8)))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.new("L", (64, 64), 7), "64×64, its image .* is 128×64"),
        (Image.new("L", (128, 64), 77), "does not know: 77"),
        (Image.new("L", (128, 64), IGNORE), "train ids"),
        (Image.new("RGB", (128, 64)), "mode RGB"),
    ],
)
def test_wrong_labels_are_named(cityscapes_root: Path, picture: Image.Image, message: str) -> None:
    path = labels_of(cityscapes_root)[0]
    picture.save(path)
    with pytest.raises(DataError, match=message) as raised:
        CITYSCAPES.open(cityscapes_root, "train", Resized((8, 8)))[0]
    assert str(path) in str(raised.value)


def test_a_damaged_picture_is_named(cityscapes_root: Path) -> None:
    path = sorted(cityscapes_root.glob("leftImg8bit/train/*/*"))[0]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=path.name):
        CITYSCAPES.open(cityscapes_root, "train", Resized((8, 8)))[0]


def test_camvid(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for folder, picture in ((split, Image.new("RGB", (48, 36))), (f"{split}annot", Image.new("L", (48, 36), 11))):
            (tmp_path / folder).mkdir()
            picture.save(tmp_path / folder / "0001TP_006690.png")
    data = CAMVID.open(tmp_path, "trainval", RandomCrop((24, 24)))
    assert len(data) == 2
    assert data[0][0].shape == (3, 24, 24)
    assert (data[0][1] == IGNORE).all()
    with pytest.raises(DataError, match="testannot"):
        CAMVID.open(tmp_path, "test", Resized((8, 8)))


def save(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def litter(folder: Path, *names: str) -> None:
    """What systems, archives and notebooks leave beside files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7")


def test_what_systems_leave_beside_pictures_is_passed_over(tmp_path: Path, cityscapes_root: Path) -> None:
    litter(camvid(tmp_path), "train/._0001TP_000000.png", "train/.DS_Store", "train/Thumbs.db", "train/notes.txt")
    litter(tmp_path, "train/.ipynb_checkpoints/0001TP_000000-checkpoint.png", "trainannot/._0001TP_000000.png")
    assert len(CAMVID.open(tmp_path, "train", Resized((8, 8)))) == 4
    city = cityscapes_root / "leftImg8bit/train"
    name = "aa_000000_000019_leftImg8bit.png"
    litter(city, f"aa/._{name}", f".ipynb_checkpoints/{name}", f"__MACOSX/{name}", f"@eaDir/{name}")
    data = CITYSCAPES.open(cityscapes_root, "train", Resized((8, 8)))
    assert len([data[index] for index in range(len(data))]) == 6


def test_folders_of_checkpoints_are_no_classes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("n01", "n02"):
            save(tmp_path / split / name / "1.JPEG", Image.new("RGB", (50, 40)))
    litter(tmp_path / "train", ".ipynb_checkpoints/1-checkpoint.JPEG", "checkpoints/last.pt", "n01/._1.JPEG", "log.png")
    (tmp_path / "train" / "a_link").symlink_to(tmp_path / "train" / "checkpoints")
    data = ImageNet(tmp_path, "train", CenterCrop((24, 24)))
    assert (data.classes, len(data)) == (("n01", "n02"), 2)
    save(tmp_path / "val" / "n00" / "1.JPEG", Image.new("RGB", (50, 40)))
    for split in ("train", "val"):
        with pytest.raises(DataError, match=r"have different class folders, .*: n00 is only in one"):
            ImageNet(tmp_path, split, CenterCrop((24, 24)))  # type: ignore[arg-type]


def test_test_images_may_have_classes_or_none(tmp_path: Path) -> None:
    """CIFAR's have, and they are those of train; ImageNet's lie in one folder and are nobody's to see."""
    for split, name in (("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")):
        save(tmp_path / split / name / "1.png", Image.new("RGB", (32, 32)))
    assert len(ImageNet(tmp_path, "test", CenterCrop((32, 32)))) == 2
    save(tmp_path / "test" / "cow" / "1.png", Image.new("RGB", (32, 32)))
    with pytest.raises(DataError, match=r"have different class folders, .*: cow is only in one"):
        ImageNet(tmp_path, "train", CenterCrop((32, 32)))
    shutil.rmtree(tmp_path / "test")
    save(tmp_path / "test" / "1.png", Image.new("RGB", (32, 32)))
    assert len(ImageNet(tmp_path, "train", CenterCrop((32, 32)))) == 2


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_pictures_of_16_bits_are_scaled_by_their_range(tmp_path: Path, mode: str) -> None:
    values = np.linspace(0, 65535, 4096).reshape(64, 64)
    picture = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))
    save(tmp_path / "p.tif", picture)
    pixels = np.asarray(open_rgb(tmp_path / "p.tif"))
    assert pixels.shape == (64, 64, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert pixels.mean() == pytest.approx(127, abs=1)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.arange(4096, dtype=np.uint16).reshape(64, 64), "values up to 4095 only.*convert it to 8 bits"),
        (np.full((8, 8), 0.5, dtype=np.float32), "mode F, whose range is not known"),
        (np.full((8, 8), 70_000, dtype=np.int32), "mode I, whose range is not known"),
    ],
)
def test_pictures_of_an_unknown_range_are_refused(tmp_path: Path, values: np.ndarray, reason: str) -> None:
    save(tmp_path / "p.tif", Image.fromarray(values))
    with pytest.raises(DataError, match=f"p.tif has .*{reason}"):
        open_rgb(tmp_path / "p.tif")


def one_label(root: Path, label: Image.Image) -> torch.Tensor:
    """The train ids of a CamVid picture of 8×2 with these labels."""
    save(root / "train" / "a.png", Image.new("RGB", (8, 2)))
    save(root / "trainannot" / "a.png", label)
    ids: torch.Tensor = CAMVID.open(root, "train", Resized((2, 8)))[0][1]
    return ids[0]


ROW = [0, 3, 8, 10, 11, 255, 3, 0]
TRAIN_IDS = [0, 3, 8, 10, IGNORE, IGNORE, 3, 0]


def test_both_ids_for_void_are_void(tmp_path: Path) -> None:
    assert one_label(tmp_path, Image.fromarray(np.array([ROW] * 2, dtype=np.uint8))).tolist() == TRAIN_IDS


def test_labels_of_16_bits_are_ids_all_the_same(tmp_path: Path) -> None:
    assert one_label(tmp_path, Image.fromarray(np.array([ROW] * 2, dtype=np.uint16))).tolist() == TRAIN_IDS
    with pytest.raises(DataError, match=r"ids up to 24003.*instanceIds"):
        one_label(tmp_path, Image.fromarray(np.full((2, 8), 24003, dtype=np.uint16)))
    with pytest.raises(DataError, match="does not know: 31; files with the 12 ids 0–11 are needed"):
        one_label(tmp_path, Image.new("L", (8, 2), 31))


def test_a_palette_of_the_data_sets_colours_says_what_indices_mean(tmp_path: Path) -> None:
    """Editors sort a palette by use: index 0 is then whatever there is most of."""
    used = [3, 0, 11, 8]  # road, sky, void, car
    label = Image.fromarray(np.array([[0, 1, 2, 3, 0, 0, 0, 1]] * 2, dtype=np.uint8))
    label.putpalette([value for id in used for value in CAMVID.labels.labels[id].color])
    assert one_label(tmp_path, label).tolist() == [3, 0, IGNORE, 8, 3, 3, 3, 0]
    label.putpalette([7, 7, 7, 1, 2, 3, 9, 9, 9, 200, 0, 0])  # for looking at
    assert one_label(tmp_path, label).tolist() == [0, 1, 2, 3, 0, 0, 0, 1]


def test_big_and_small_pictures_are_mixed(tmp_path: Path) -> None:
    for number, size in enumerate([(8, 6), (300, 200), (40, 700)]):
        save(tmp_path / "train" / f"{number}.png", Image.new("RGB", size))
        save(tmp_path / "trainannot" / f"{number}.png", Image.new("L", size, 3))
    folder = DataFolder(tmp_path, CAMVID)
    batches = endless(folder.crops("train", (32, 64), (64, 128)), 3, seed=0, workers=0)
    images, labels = next(batches)
    assert images.shape == (3, 3, 32, 64)
    assert set(labels.flatten().tolist()) <= {3, IGNORE}
    whole = [label.shape for _, label in in_order(folder.whole("train", (16, 32)), 1, replace(ALONE, workers=0))]
    assert whole == [(1, 6, 8), (1, 200, 300), (1, 700, 40)]


def test_a_camvid_image_that_is_missing_is_named(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    (root / "train" / "0001TP_000002.png").unlink()
    with pytest.raises(
        DataError, match=r"1 label files have no image.*trainannot/0001TP_000002.png: expected .*/train"
    ):
        CAMVID.open(root, "train", Resized((8, 8)))


def test_a_camvid_label_of_another_size_is_named(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    Image.new("L", (48, 36), 1).save(root / "trainannot" / "0001TP_000001.png")
    with pytest.raises(DataError, match=r"trainannot/0001TP_000001.png is 48×36, its image .* is 96×64"):
        CAMVID.open(root, "train", Resized((8, 8)))[1]


def test_a_search_takes_classes_and_size_of_its_layout(tmp_path: Path) -> None:
    data = DataFolder(camvid(tmp_path), LAYOUTS["camvid"])
    space = SpaceOptions(layout="camvid").space()
    assert (space.height, space.width, space.classes) == (720, 960, 11)
    images, labels = data.search_crops(space, replace(space, height=33, width=49), seed=0)[0]
    assert images.shape == (3, 33, 49)
    assert set(labels.flatten().tolist()) <= {*range(11), IGNORE}
    with pytest.raises(DataError, match="classes: 19 in the space, CamVid has 11"):
        data.search_crops(Space(), Space(height=33, width=49), seed=0)


def test_imagenet(tmp_path: Path) -> None:
    for name in ("n02", "n01"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (50, 40)).save(tmp_path / "train" / name / f"{name}_1.JPEG")
    data = ImageNet(tmp_path, "train", RandomResizedCrop((32, 32)))
    assert data.classes == ("n01", "n02")
    assert [data[i][1] for i in range(len(data))] == [0, 1]
    assert data[1, 3][0].shape == (3, 32, 32)
    assert ImageNet(tmp_path, "train", CenterCrop((24, 24)))[0][0].shape == (3, 24, 24)
    with pytest.raises(DataError, match="val into class folders"):
        ImageNet(tmp_path, "val", CenterCrop((24, 24)))
