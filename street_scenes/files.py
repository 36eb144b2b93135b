"""The data set: generated street scenes in the layout of Cityscapes, for those without Cityscapes and for the tests.

All 19 evaluated classes occur, trains, buses, motorcycles, walls and fences rarely, and several that are not evaluated
(parking, rail track, bins, the camera car's own bonnet). What makes the scenes hard:

- Texture does not tell the class. The same bricks and planks are building, wall or fence; pavement and road share
  materials; vehicles, clothes, doors and shop signs share paints; glass fronts mirror the sky. Where a thing is and
  what it belongs to decides, so the receptive field matters.
- Riders are persons on something, trams are buses on rails, posters and round shop signs are no traffic signs, what is
  seen through the bars of a fence is fence.
- Traffic and people stand up to 140 m off, down to a few pixels; poles, signs and bars are thin at any distance.
- Sun, haze, exposure, white balance, contrast, blur, noise and the camera's pose differ from picture to picture.
- Each split has towns of its own with their own colours, paving, windows, trees and street life.

Picture `index` of a split follows from (seed, split, index) alone: the files are equal, byte for byte, in whatever
order, by however many processes, and however many there are.
"""

import hashlib
import io
import json
import multiprocessing
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from latency_tables.children import end_with_parent
from latency_tables.whole_files import write_whole
from street_scenes.scene import Scene, render

TOWNS = {
    "train": ("ahornburg", "buchental", "erlenfurt", "eschweil", "fichtenau", "lindenau", "ulmenstadt", "wachholm"),
    "val": ("birnfeld", "kiefernau", "weidenbach"),
    "test": ("eibenstedt", "haselmoor", "quittingen"),
}

MANIFEST = "street_scenes.json"

MIN_SIDE = 16
"""Pixels of a picture's height and width."""

_FOLDERS = ("leftImg8bit", "gtFine")
_PICTURES_PER_TASK = 4

Progress = Callable[[int, int], None]
"""Called with the number of pictures that exist and the number that there will be."""


class SceneError(Exception):
    """Scenes cannot be drawn or stored; the message names the field, its value and what to change."""


class _Picture(NamedTuple):
    root: Path
    split: str
    number: int
    size: tuple[int, int]
    seed: int

    @property
    def files(self) -> tuple[Path, Path]:
        """The label file and the image file."""
        town = TOWNS[self.split][self.number % len(TOWNS[self.split])]
        name = f"{self.split}/{town}/{town}_{self.number:06d}_000019"
        return self.root / f"gtFine/{name}_gtFine_labelIds.png", self.root / f"leftImg8bit/{name}_leftImg8bit.png"


def scene(split: str, index: int, size: tuple[int, int], seed: int = 0, ahead_m: float = 0.0) -> Scene:
    """Draw picture `index` of a split ("train", "val", "test") at `size` (height, width), with its Cityscapes ids.

    The camera stands `ahead_m` metres further along the street than in the data set's picture.

    Raises SceneError for an unknown split and a size under 16×16.
    """
    _check({split: 1}, size)
    return render(f"{seed}/{split}/{index}", TOWNS[split][index % len(TOWNS[split])], size, ahead_m)


def ensure(
    root: Path,
    counts: Mapping[str, int],
    size: tuple[int, int] = (512, 1024),
    seed: int = 0,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Have exactly `counts` pictures per split ("train", "val", "test") of `size` (height, width) under `root`.

    Returns `root`, at once if its manifest says that everything is there. The manifest is completed last: pictures of
    an interrupted run are kept, those of another seed, size or version of the generator are replaced. `workers`
    processes draw (one per core if None; a script that calls this needs the `__main__` guard of multiprocessing).
    Raises SceneError for an unknown split, a wrong count, size or number of workers, and if `root` holds data that was
    not generated.
    """
    _check(counts, size)
    workers = workers if workers is not None else os.cpu_count() or 1
    if workers < 1:
        raise SceneError(f"workers: {workers} is too few; use 1 or more, or None for one per core")
    recipe = {"generator": _generator(), "size": list(size), "seed": seed}
    complete: dict[str, object] = {**recipe, "counts": dict(sorted(counts.items())), "complete": True}
    path = root / MANIFEST
    if _read_manifest(path) == complete:
        return root
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{MANIFEST}.lock"):
        manifest = _read_manifest(path)
        if manifest == complete:
            return root
        if manifest is None and any((root / folder).exists() for folder in _FOLDERS):
            raise SceneError(f"root: {root} holds data without {MANIFEST}, so not generated here; use another folder")
        if manifest is not None and {key: manifest.get(key) for key in recipe} != recipe:
            # Keeps the old recipe until the old pictures are gone: a run that is killed here leaves none for the new.
            _write_manifest(path, {**manifest, "complete": False})
            for folder in _FOLDERS:
                shutil.rmtree(root / folder, ignore_errors=True)
        _write_manifest(path, {**complete, "complete": False})
        pictures = [_Picture(root, split, i, size, seed) for split, count in counts.items() for i in range(count)]
        _remove_others(root, pictures)
        missing = [picture for picture in pictures if not all(file.exists() for file in picture.files)]
        for number, _ in enumerate(_draw_all(missing, workers), start=len(pictures) - len(missing) + 1):
            if progress:
                progress(number, len(pictures))
        _write_manifest(path, complete)
    return root


def _check(counts: Mapping[str, int], size: tuple[int, int]) -> None:
    for split, count in counts.items():
        if split not in TOWNS:
            raise SceneError(f"split: unknown split {split!r}; use {', '.join(TOWNS)}")
        if count < 0:
            raise SceneError(f"counts: {count} pictures of {split!r}; use 0 or more")
    if min(size) < MIN_SIDE:
        raise SceneError(f"size: {size[0]}×{size[1]} is too small; use at least {MIN_SIDE}×{MIN_SIDE} (height, width)")


def _generator() -> str:
    """The digest of the code that draws: pictures of another version are replaced."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


def _read_manifest(path: Path) -> dict[str, object] | None:
    """None if there is no manifest, {} if it is damaged."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _write_manifest(path: Path, content: dict[str, object]) -> None:
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def _remove_others(root: Path, pictures: list[_Picture]) -> None:
    """Remove pictures beyond the counts and half-written files of a killed run; make the folders."""
    files = {file for picture in pictures for file in picture.files}
    for path in root.glob("*/*/*/*"):
        if path not in files:
            path.unlink()
    for folder in {file.parent for file in files}:
        folder.mkdir(parents=True, exist_ok=True)


def _draw_all(pictures: list[_Picture], workers: int) -> Iterator[None]:
    """Draw and write the pictures; yields after each."""
    if workers == 1 or len(pictures) <= 2 * _PICTURES_PER_TASK:
        yield from map(_draw, pictures)
        return
    # Spawned, not forked: the caller may have torch threads running.
    spawn = multiprocessing.get_context("spawn")
    workers = min(workers, len(pictures) // _PICTURES_PER_TASK)
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=end_with_parent)
    try:
        yield from pool.map(_draw, pictures, chunksize=_PICTURES_PER_TASK)
    finally:
        pool.shutdown(cancel_futures=True)


def _draw(picture: _Picture) -> None:
    image, labels = scene(picture.split, picture.number, picture.size, picture.seed)
    for file, pixels in zip(picture.files, (labels, image), strict=True):
        _write_png(file, pixels)


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    content = io.BytesIO()
    # Sensor noise leaves nothing to match, and labels are runs: zlib need not search for more than runs.
    Image.fromarray(pixels).save(content, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    write_whole(path, content.getbuffer())
