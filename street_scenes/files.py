"""Generated street scenes in the layout of Cityscapes, for those without Cityscapes and for the tests.

Each picture is a street seen by a car's camera: a world in metres (road with lanes and markings, kerbs, pavements,
verges, rows of houses, walls, fences, parks, traffic, people, lamps, signs, trees), projected, textured, lit and
photographed. All 19 evaluated classes occur, trains, buses, motorcycles, walls and fences rarely, and several that are
not evaluated (parking, rail track, guard rail, bridge, bins, caravans, trailers, the camera car's own bonnet).

What makes them hard, so that a strong network is clearly better than a weak one:

- Texture does not tell the class. The same bricks, plaster and planks are building, wall, garage or fence; pavement
  and road share materials; one set of paints is used for vehicles, clothes, doors, shop signs and containers; glass
  fronts mirror the sky. What decides is where a thing stands and what it belongs to, so the receptive field matters.
- Classes that differ by context alone: riders are persons on something, trams are buses on rails, posters and round
  shop signs on houses are not traffic signs, what is seen through the bars of a fence is fence.
- Size: traffic and people stand up to 140 m off, down to a few pixels; poles, signs and bars are thin at any distance.
- Light: sun from any side with cast shadows, overcast, low sun, dusk; haze, exposure, white balance, contrast, blur
  and sensor noise differ from picture to picture; camera height, yaw, pitch and roll too.
- Towns: each split has towns of its own with their own colours, paving, windows, trees and street life.

Picture `index` of a split follows from (seed, split, index) alone: the same files, byte for byte, in whatever order,
by however many processes, and however many there are.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from latency_tables.children import end_with_parent
from latency_tables.whole_files import write_whole
from street_scenes.png import write_png
from street_scenes.scene import Scene, render

TOWNS = {
    "train": ("ahornburg", "buchental", "erlenfurt", "eschweil", "fichtenau", "lindenau", "ulmenstadt", "wachholm"),
    "val": ("birnfeld", "kiefernau", "weidenbach"),
    "test": ("eibenstedt", "haselmoor", "quittingen"),
}

MANIFEST = "street_scenes.json"

Progress = Callable[[int, int], None]
"""Called with the number of pictures that are there and the number wanted."""

_CHUNK = 4


class _Task(NamedTuple):
    image: Path
    label: Path
    seed: int
    split: str
    number: int
    size: tuple[int, int]


class SceneError(Exception):
    """Scenes that cannot be drawn or kept as asked; the message names what to change."""


def scene(split: str, index: int, size: tuple[int, int], seed: int = 0) -> Scene:
    """One picture with its Cityscapes ids, at `size` (height, width)."""
    towns = TOWNS[split]
    return render(f"{seed}/{split}/{index}", towns[index % len(towns)], size)


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

    Returns `root`, at once if its manifest says that it is all there. The manifest is completed last: whatever a
    stopped run made is kept, pictures of another seed, size or version of the generator are replaced. `workers`
    processes draw (all cores by default; a script that calls this needs the `__main__` guard of multiprocessing).
    Raises SceneError for an unknown split or a wrong size, and when `root` holds data that was not generated.
    """
    _check(counts, size)
    recipe = {"generator": _generator(), "size": list(size), "seed": seed}
    wanted: dict[str, object] = {**recipe, "counts": dict(sorted(counts.items())), "complete": True}
    manifest = root / MANIFEST
    if _read(manifest) == wanted:
        return root
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{MANIFEST}.lock"):
        found = _read(manifest)
        if found == wanted:
            return root
        if found is None and ((root / "leftImg8bit").exists() or (root / "gtFine").exists()):
            raise SceneError(
                f"{root} holds data that was not generated here ({MANIFEST} is missing); name another folder"
            )
        if found is not None and {key: found.get(key) for key in recipe} != recipe:
            # Still of the old recipe until its pictures are gone: a run that is killed here leaves none for the new.
            _write(manifest, {**found, "complete": False})
            for folder in ("leftImg8bit", "gtFine"):
                shutil.rmtree(root / folder, ignore_errors=True)
        _write(manifest, {**wanted, "complete": False})
        tasks = [_task(root, split, index, size, seed) for split, count in counts.items() for index in range(count)]
        _sweep(root, tasks)
        missing = [task for task in tasks if not task.image.exists()]
        there = len(tasks) - len(missing)
        for made in _made(missing, workers or os.cpu_count() or 1):
            there += made
            if progress:
                progress(there, len(tasks))
        _write(manifest, wanted)
    return root


def _check(counts: Mapping[str, int], size: tuple[int, int]) -> None:
    for split, count in counts.items():
        if split not in TOWNS:
            raise SceneError(f"counts: unknown split {split!r}; there are {', '.join(TOWNS)}")
        if count < 0:
            raise SceneError(f"counts: {count} pictures of {split!r}; give 0 or more")
    if min(size) < 16:
        raise SceneError(f"size: {size[0]}×{size[1]} is too small; give at least 16×16 (height, width)")


def _task(root: Path, split: str, index: int, size: tuple[int, int], seed: int) -> _Task:
    town = TOWNS[split][index % len(TOWNS[split])]
    name = f"{town}_{index:06d}_000019"
    image = root / "leftImg8bit" / split / town / f"{name}_leftImg8bit.png"
    label = root / "gtFine" / split / town / f"{name}_gtFine_labelIds.png"
    return _Task(image, label, seed, split, index, size)


def _generator() -> str:
    """The digest of what draws: pictures of a changed generator are made anew."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


def _read(manifest: Path) -> dict[str, object] | None:
    try:
        content = json.loads(manifest.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _write(manifest: Path, content: dict[str, object]) -> None:
    write_whole(manifest, (json.dumps(content, indent=1) + "\n").encode())


def _sweep(root: Path, tasks: list[_Task]) -> None:
    """Remove what is not wanted: pictures beyond the counts and what a killed run left half-written."""
    wanted = {path for task in tasks for path in (task.image, task.label)}
    for folder in ("leftImg8bit", "gtFine"):
        for path in (root / folder).glob("*/*/*"):
            if path not in wanted:
                path.unlink()
    for parent in {path.parent for path in wanted}:
        parent.mkdir(parents=True, exist_ok=True)


def _made(tasks: list[_Task], workers: int) -> Iterator[int]:
    """Draw; yields how many pictures each step made."""
    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    if workers == 1 or len(chunks) <= 2:
        yield from map(_draw, chunks)
        return
    # Spawned, not forked: the caller may have torch threads running.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=spawn, initializer=end_with_parent)
    try:
        for future in as_completed([pool.submit(_draw, chunk) for chunk in chunks]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _draw(tasks: list[_Task]) -> int:
    for task in tasks:
        drawn = scene(task.split, task.number, task.size, task.seed)
        # The image last: it stands for both.
        write_png(task.label, drawn.labels)
        write_png(task.image, drawn.image)
    return len(tasks)
