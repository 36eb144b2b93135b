"""Small pictures of single classes cut from labelled scenes, in ImageNet's layout: to pretrain without ImageNet."""

import io
import shutil
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from latency_tables.whole_files import write_whole
from lgcnet_search.data.cityscapes import LABELS, list_files
from lgcnet_search.data.segmentation import open_picture, open_rgb
from street_scenes.files import MANIFEST

SIDE = 96
PER_SCENE = 2


def cut(scenes: Path, root: Path, seed: int = 0) -> Path:
    """Under `root`, up to two pictures of each evaluated class of every scene in splits train and val of `scenes`.

    A picture stands in the folder of its middle pixel's class, under the number of its scene: what is there is kept
    as long as the scenes' manifest and how they are cut are the same, else `root` is cleared. Returns `root`. Raises
    DataError, OSError where the scenes have no manifest.
    """
    ids = {label.id: label.name.replace(" ", "_") for label in LABELS.evaluated}
    recipe = f"{SIDE} {PER_SCENE} {seed}\n" + (scenes / MANIFEST).read_text()
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        _keep_only(root, recipe)
        for split in ("train", "val"):
            for name in ids.values():
                (root / split / name).mkdir(parents=True, exist_ok=True)
            for index, files in enumerate(list_files(scenes, split)):
                _cut_scene(open_rgb(files.image), np.asarray(open_picture(files.label)), ids, root / split, seed, index)
    return root


def _keep_only(root: Path, recipe: str) -> None:
    """Leave only pictures of this recipe, also where an earlier run was killed while it removed others."""
    made = root / "recipe.txt"
    if made.exists() and made.read_text() == recipe:
        return
    made.unlink(missing_ok=True)
    for split in ("train", "val"):
        shutil.rmtree(root / split, ignore_errors=True)
    write_whole(made, recipe.encode())


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
                buffer = io.BytesIO()
                image.crop((left, top, left + SIDE, top + SIDE)).save(buffer, "JPEG", quality=92)
                write_whole(path, buffer.getbuffer())
