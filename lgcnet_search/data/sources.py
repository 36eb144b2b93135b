"""What is trained and evaluated on: folders of known layouts, or generated street scenes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from lgcnet_search.computing.batches import Batch
from lgcnet_search.data import crops as scene_crops
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import LabelTable
from lgcnet_search.data.layouts import DEFAULT, LAYOUTS, Layout
from lgcnet_search.data.loading import endless
from lgcnet_search.data.segmentation import SegmentationFiles
from lgcnet_search.data.views import RandomCrop, Resized, Size
from lgcnet_search.space.space import Space
from street_scenes import files as street_scenes

GENERATED = "generated"
GENERATED_SIZE = (512, 1024)


def generated_scenes(
    count: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    held_out: int = 0,
    size: Size = GENERATED_SIZE,
) -> Path:
    """The folder with `count` generated pictures for training; those missing in the user's cache are drawn.

    `held_out` more, of other towns, are for evaluation (split "val"). Raises DataError.
    """
    counts = {"train": count, "val": held_out} if held_out else {"train": count}
    suffix = [] if size == GENERATED_SIZE else [f"{size[0]}x{size[1]}"]
    root = user_cache_path("lgcnet") / "-".join(["street-scenes", *map(str, counts.values()), *suffix])
    try:
        return street_scenes.ensure(root, counts, size, progress=progress)
    except street_scenes.SceneError as error:
        raise DataError(str(error)) from error


def generated_classes(scenes: Path) -> Path:
    """The folder in ImageNet's layout with crops of generated scenes; those missing are cut."""
    return scene_crops.cut(scenes, scenes.with_name(scenes.name.replace("scenes", "classes")))


@dataclass(frozen=True)
class DataFolder:
    """A folder of labelled pictures in the layout of a data set."""

    root: Path
    layout: Layout = LAYOUTS[DEFAULT]

    @property
    def labels(self) -> LabelTable:
        return self.layout.labels

    def crops(self, split: str, crop: Size, size: Size, seed: int = 0) -> SegmentationFiles:
        """Random crops of a network's input of `size`, for training. Raises DataError."""
        return self.layout.open(self.root, split, random_crop(crop, size), seed=seed)

    def whole(self, split: str, size: Size, *, full_labels: bool = True) -> SegmentationFiles:
        """Whole pictures resized to `size`, with `full_labels` at the labels' own size. Raises DataError."""
        return self.layout.open(self.root, split, Resized(size), full_labels=full_labels)

    def search_crops(self, space: Space, proxy: Space, seed: int) -> SegmentationFiles:
        """Random crops of the proxy's size from the split train. Raises DataError."""
        if space.classes != self.labels.classes:
            raise DataError(
                f"classes: {space.classes} in the space, {self.labels.dataset} has {self.labels.classes}; "
                "name another layout, or leave the classes out"
            )
        return self.crops("train", (proxy.height, proxy.width), (space.height, space.width), seed)


def random_crop(crop: Size, size: Size) -> RandomCrop:
    """The paper's augmentation: random resize (0.5 to 2.0), random crop, random flip.

    Factor 1 is the network's input `size`, or less where the crop's height or width is below half of it, in the same
    proportion and never less than the crop: a small one still sees from the whole scene down to a quarter of each side.
    """
    parts = [part / whole for part, whole in zip(crop, size, strict=True)]
    share = min(1.0, max(2 * min(parts), max(parts)))
    return RandomCrop(crop, base=(round(share * size[0]), round(share * size[1])))


def search_batches(root: Path, space: Space, proxy: Space, batch_size: int, seed: int, workers: int) -> Iterator[Batch]:
    """Shuffled batches without end of crops of a Cityscapes folder. Raises DataError."""
    return endless(DataFolder(root).search_crops(space, proxy, seed), batch_size, seed=seed, workers=workers)
