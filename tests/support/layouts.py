"""Small data sets in the published layouts, for training: a brightness for each class."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lgcnet_search.computing.batches import Batch
from lgcnet_search.data.camvid import LABELS as CAMVID
from lgcnet_search.data.cityscapes import LABELS as CITYSCAPES
from lgcnet_search.data.imagenet import ImageNet
from lgcnet_search.data.labels import LabelTable
from lgcnet_search.data.loading import in_order
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.data.views import CenterCrop

SIDE = (64, 96)


def cityscapes(
    root: Path, splits: tuple[str, ...] = ("train", "val"), annotation: str = "gtFine", count: int = 4
) -> Path:
    for split in splits:
        for index in range(count):
            name = f"town_{index:06d}_000019"
            image, label = _picture(CITYSCAPES, index)
            _save(root / "leftImg8bit" / split / "town" / f"{name}_leftImg8bit.png", image)
            _save(root / annotation / split / "town" / f"{name}_{annotation}_labelIds.png", label)
    return root


def camvid(root: Path, count: int = 4) -> Path:
    for split in ("train", "val", "test"):
        for index in range(count):
            image, label = _picture(CAMVID, index)
            _save(root / split / f"0001TP_{index:06d}.png", image)
            _save(root / f"{split}annot" / f"0001TP_{index:06d}.png", label)
    return root


def imagenet(root: Path, classes: tuple[str, ...], count: int) -> ImageNet:
    """The folder's val split."""
    for split in ("train", "val"):
        for number, name in enumerate(classes):
            for index in range(count):
                pixels = np.random.default_rng(index).integers(0, 40, (40, 56, 3)) + 80 * number
                _save(root / split / name / f"n{index}.JPEG", pixels.astype(np.uint8))
    return ImageNet(root, "val", CenterCrop((32, 32)))


def seen_whole(monkeypatch: pytest.MonkeyPatch, data: Path, size: tuple[int, int]) -> Callable[[], bool]:
    """From now on, whether BatchNorm's statistics are taken, and only of whole training images."""
    recalibrated_on: list[Tensor] = []

    def recalibrate(_network: nn.Module, batches: Iterable[Batch], _device: object) -> None:
        recalibrated_on.extend(image for images, _ in batches for image in images)

    monkeypatch.setattr("lgcnet_search.training.recalibrate.recalibrate", recalibrate)

    def answer() -> bool:
        whole = [image for image, _ in in_order(DataFolder(data).whole("train", size), 1)]
        return bool(recalibrated_on) and all(
            any(torch.equal(image, picture[0]) for picture in whole) for image in recalibrated_on
        )

    return answer


def _picture(labels: LabelTable, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ids = np.array([label.id for label in labels.evaluated[:4]], dtype=np.uint8)
    label = np.kron(rng.choice(ids, (2, 3)), np.ones((SIDE[0] // 2, SIDE[1] // 3), dtype=np.uint8))
    image = np.repeat(label[..., None] * 7, 3, axis=2) + rng.integers(0, 9, (*SIDE, 3), dtype=np.uint8)
    return image, label


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
