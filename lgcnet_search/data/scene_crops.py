"""Small pictures of single classes cut from labelled scenes, in ImageNet's layout: to pretrain without ImageNet."""

from pathlib import Path

import numpy as np
from PIL import Image

from lgcnet_search.data.cityscapes import list_files
from lgcnet_search.data.labels import CITYSCAPES
from lgcnet_search.data.segmentation import open_picture, open_rgb

SIDE = 96
PER_SCENE = 2


def cut(scenes: Path, root: Path, seed: int = 0) -> Path:
    """Under `root`, up to two pictures of each evaluated class of every scene in splits train and val of `scenes`.

    A picture is named for the class of its middle pixel, and has its scene's name: what is there is kept. Returns
    `root`. Raises DataError.
    """
    ids = {label.id: label.name.replace(" ", "_") for label in CITYSCAPES.evaluated}
    for split in ("train", "val"):
        for name in ids.values():
            (root / split / name).mkdir(parents=True, exist_ok=True)
        for index, files in enumerate(list_files(scenes, split)):
            _cut_scene(open_rgb(files.image), np.asarray(open_picture(files.label)), ids, root / split, seed, index)
    return root


def _cut_scene(
    image: Image.Image, labels: np.ndarray, ids: dict[int, str], folder: Path, seed: int, index: int
) -> None:
    rng = np.random.default_rng((seed, index))
    half = SIDE // 2
    inner = labels[half : labels.shape[0] - half, half : labels.shape[1] - half]
    for value, name in ids.items():
        rows, columns = np.nonzero(inner == value)
        for number in range(min(PER_SCENE, len(rows))):
            at = int(rng.integers(len(rows)))
            top, left = int(rows[at]), int(columns[at])
            path = folder / name / f"{index:06d}_{number}.jpg"
            if not path.exists():
                image.crop((left, top, left + SIDE, top + SIDE)).save(path, quality=92)
