"""Images in class folders, as ImageNet's: <root>/{train,val or test}/<class>/<name>.JPEG."""

from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from lgcnet_search.data.errors import DataError
from lgcnet_search.data.segmentation import Key, folder, is_visible, open_rgb, pictures_in
from lgcnet_search.data.views import ViewRule, normalized

Split = Literal["train", "val", "test"]


class ImageNet(Dataset[tuple[Tensor, int]]):
    """Images as normalized float32 (3, h, w) with the index of their class folder, in sorted order.

    Chance is seeded by (seed, epoch, index). Hidden folders are no classes, nor those with files but no pictures (of
    checkpoints, say). Raises DataError when a folder is missing, has no classes or images, or the splits differ.
    """

    def __init__(self, root: Path, split: Split, views: ViewRule, *, seed: int = 0) -> None:
        expected = f"{root}/{split}/<class>/<name>.JPEG (sort val into class folders too)"
        base = folder(root / split, root, expected)
        self.classes = _classes(base)
        for other in {"train": ("val", "test")}.get(split, ("train",)):
            names = _classes(root / other) if (root / other).is_dir() else self.classes
            differing = set(self.classes) ^ set(names)
            if not differing or (other == "test" and not names):  # ImageNet's own test images have no classes
                continue
            shown = ", ".join(sorted(differing)[:5])
            raise DataError(
                f"{split} and {other} under {root} have different class folders, so their numbers would differ: "
                f"{shown} is only in one of them. Expected layout: {expected}"
            )
        self.files = tuple(
            (path, target) for target, name in enumerate(self.classes) for path in pictures_in(base / name)
        )
        if not self.files:
            raise DataError(f"no class folders with images under {base}. Expected layout: {expected}")
        self.views = views
        self.seed = seed

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        index, epoch = key if isinstance(key, tuple) else (key, 0)
        path, target = self.files[index]
        image = open_rgb(path)
        view = self.views.view((image.height, image.width), np.random.default_rng((self.seed, epoch, index)))
        return normalized(view.image(image)), target


def _classes(base: Path) -> tuple[str, ...]:
    """The names of its class folders, sorted: of pictures, or empty."""
    folders = (entry for entry in base.iterdir() if entry.is_dir() and is_visible(entry))
    return tuple(sorted(entry.name for entry in folders if pictures_in(entry) or not any(entry.iterdir())))
