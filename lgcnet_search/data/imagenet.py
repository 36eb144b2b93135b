"""ImageNet as class folders: <root>/{train,val}/<class>/<name>.JPEG, for pretraining the backbone."""

from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from lgcnet_search.data.errors import DataError
from lgcnet_search.data.segmentation import Key, folder, open_rgb
from lgcnet_search.data.views import ViewRule, normalized

SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})


class ImageNet(Dataset[tuple[Tensor, int]]):
    """Images as normalized float32 (3, h, w) with the index of their class folder, in sorted order.

    Chance is seeded by (seed, epoch, index). Raises DataError when a folder is missing or has no classes or images.
    """

    def __init__(self, root: Path, split: Literal["train", "val"], views: ViewRule, *, seed: int = 0) -> None:
        expected = f"{root}/{split}/<class>/<name>.JPEG (sort val into class folders too)"
        base = folder(root / split, root, expected)
        self.classes = tuple(sorted(entry.name for entry in base.iterdir() if entry.is_dir()))
        self.files = tuple(
            (path, target)
            for target, name in enumerate(self.classes)
            for path in sorted((base / name).iterdir())
            if path.suffix.lower() in SUFFIXES
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
