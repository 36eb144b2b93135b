"""What a search trains on: a Cityscapes folder, or generated street scenes of the same layout."""

from collections.abc import Callable, Iterator
from pathlib import Path

from platformdirs import user_cache_path

from lgcnet_search.data import street_scenes
from lgcnet_search.data.cityscapes import Cityscapes
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import CITYSCAPES
from lgcnet_search.data.loading import endless
from lgcnet_search.data.views import RandomCrop
from lgcnet_search.space import Space
from lgcnet_search.update import Batch

GENERATED = "generated"
GENERATED_SIZE = (512, 1024)


def generated_scenes(count: int, progress: Callable[[int, int], None] | None = None) -> Path:
    """The folder with `count` generated pictures for training, made where they are not in the user's cache yet."""
    root = user_cache_path("lgcnet") / f"street-scenes-{count}"
    return street_scenes.ensure(root, {"train": count}, GENERATED_SIZE, progress=progress)


def search_batches(
    root: Path,
    space: Space,
    proxy: Space,
    batch_size: int,
    seed: int,
    workers: int,
    *,
    start_step: int = 0,
    process: int = 0,
    processes: int = 1,
) -> Iterator[Batch]:
    """Shuffled batches without end of random crops of the proxy's size, from batch `start_step` on.

    Factor 1 of the random resize (0.5 to 2.0) is the deployed size, or twice the crop where that is smaller: a small
    crop still sees from the whole scene down to a quarter of its height and width. Raises DataError.
    """
    if space.classes != CITYSCAPES.classes:
        raise DataError(f"classes: {space.classes} given, {root} is read with Cityscapes' {CITYSCAPES.classes}")
    crop = (proxy.height, proxy.width_px)
    base = (min(space.height, 2 * crop[0]), min(space.width_px, 2 * crop[1]))
    dataset = Cityscapes(root, "train", RandomCrop(crop, base=base), seed=seed)
    return endless(
        dataset,
        batch_size,
        seed=seed,
        workers=workers,
        start_step=start_step,
        process=process,
        processes=processes,
    )
