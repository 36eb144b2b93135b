"""Small pictures of single classes cut from labelled scenes, in ImageNet's layout: to pretrain without ImageNet."""

import io
import shutil
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from latency_tables.whole_files import write_whole
from lgcnet_search.data.cityscapes import LABELS, list_files
from lgcnet_search.data.segmentation import label_ids, open_rgb
from street_scenes.files import MANIFEST

SIDE = 96
"""Height and width of a crop in pixels."""

PER_SCENE = 2
"""Crops of each class from one scene, at most."""


def cut(scenes: Path, root: Path, seed: int = 0) -> Path:
    """Under `root`, up to two crops of each evaluated class of every scene in splits train and val of `scenes`.

    A crop is in the folder of its middle pixel's class, its name starts with the number of its scene. Existing crops
    are kept while the scenes' manifest and how they are cut are the same, else `root` is cleared. Returns `root`.
    Raises DataError if a scene is missing or cannot be read, OSError if the scenes have no manifest.
    """
    names = {label.id: label.name.replace(" ", "_") for label in LABELS.evaluated}
    recipe = f"{SIDE} {PER_SCENE} {seed}\n" + (scenes / MANIFEST).read_text()
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        _clear_unless(recipe, root)
        for split in ("train", "val"):
            for name in names.values():
                (root / split / name).mkdir(parents=True, exist_ok=True)
            for index, files in enumerate(list_files(scenes, split)):
                labels = label_ids(files.label, LABELS)
                _cut_scene(open_rgb(files.image), labels, names, root / split, seed, index)
    return root


def _clear_unless(recipe: str, root: Path) -> None:
    """Leave only crops of this recipe, also if an earlier run was killed while it removed others."""
    path = root / "recipe.txt"
    if path.exists() and path.read_text() == recipe:
        return
    path.unlink(missing_ok=True)
    for split in ("train", "val"):
        shutil.rmtree(root / split, ignore_errors=True)
    write_whole(path, recipe.encode())


def _cut_scene(
    image: Image.Image, labels: NDArray[np.uint8], names: dict[int, str], folder: Path, seed: int, index: int
) -> None:
    """Crops of every class in `labels` (H, W), each in the folder of its class."""
    rng = np.random.default_rng((seed, index))
    half = SIDE // 2
    inner = labels[half : labels.shape[0] - half, half : labels.shape[1] - half]
    for id, name in names.items():
        rows, columns = np.nonzero(inner == id)
        for number in range(min(PER_SCENE, len(rows))):
            pixel = int(rng.integers(len(rows)))
            top, left = int(rows[pixel]), int(columns[pixel])
            path = folder / name / f"{index:06d}_{number}.jpg"
            if not path.exists():
                content = io.BytesIO()
                image.crop((left, top, left + SIDE, top + SIDE)).save(content, "JPEG", quality=92)
                write_whole(path, content.getbuffer())
