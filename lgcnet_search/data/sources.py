"""What is trained and evaluated on: folders of known layouts, or generated street scenes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

from lgcnet_search.computing.batches import Batch
from lgcnet_search.data import crops as scene_crops
from lgcnet_search.data.camvid import CamVid
from lgcnet_search.data.cityscapes import Cityscapes
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import CAMVID, CITYSCAPES, LabelTable
from lgcnet_search.data.loading import endless
from lgcnet_search.data.segmentation import SegmentationFiles
from lgcnet_search.data.views import RandomCrop, Resized
from lgcnet_search.space.space import Space
from street_scenes import files as street_scenes

GENERATED = "generated"
GENERATED_SIZE = (512, 1024)


def generated_scenes(
    count: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    held_out: int = 0,
    size: tuple[int, int] = GENERATED_SIZE,
) -> Path:
    """The folder with `count` generated pictures for training, made where they are not in the user's cache yet.

    `held_out` more, of other towns, are for evaluation (split "val").
    """
    counts = {"train": count, "val": held_out} if held_out else {"train": count}
    at = [] if size == GENERATED_SIZE else [f"{size[0]}x{size[1]}"]
    root = user_cache_path("lgcnet") / "-".join(["street-scenes", *map(str, counts.values()), *at])
    try:
        return street_scenes.ensure(root, counts, size, progress=progress)
    except street_scenes.SceneError as error:
        raise DataError(str(error)) from error


def generated_classes(scenes: Path) -> Path:
    """The folder in ImageNet's layout with what was cut from generated scenes, made where it is not there yet."""
    return scene_crops.cut(scenes, scenes.with_name(scenes.name.replace("scenes", "classes")))


Layout = Literal["cityscapes", "camvid"]
TrainSplit = Literal["train", "trainval"]
EvaluationSplit = Literal["train", "val", "test"]

CAMVID_SIZE = (720, 960)
"""Height and width that the paper's network takes there."""


@dataclass(frozen=True)
class Labelled:
    """A folder of labelled pictures in the layout of a data set."""

    root: Path
    layout: Layout = "cityscapes"

    @property
    def labels(self) -> LabelTable:
        return CITYSCAPES if self.layout == "cityscapes" else CAMVID

    def training(
        self, split: TrainSplit, crop: tuple[int, int], size: tuple[int, int], seed: int = 0, *, coarse: bool = False
    ) -> SegmentationFiles:
        """Random crops of a network's input of `size`; `coarse`: Cityscapes' coarsely labelled extra pictures.

        Raises DataError.
        """
        views = crops(crop, size)
        if self.layout == "camvid":
            if coarse:
                raise DataError(f"{self.root}: CamVid has no coarse labels; leave the coarse epochs out")
            return CamVid(self.root, split, views, seed=seed)
        return Cityscapes(self.root, "train_extra" if coarse else split, views, coarse=coarse, seed=seed)

    def evaluation(
        self, split: EvaluationSplit | TrainSplit, size: tuple[int, int], *, full_labels: bool = True
    ) -> SegmentationFiles:
        """Whole pictures resized to `size`, with `full_labels` at the labels' own size. Raises DataError."""
        if self.layout == "camvid":
            return CamVid(self.root, split, Resized(size), full_labels=full_labels)
        return Cityscapes(self.root, split, Resized(size), full_labels=full_labels)


def crops(crop: tuple[int, int], size: tuple[int, int]) -> RandomCrop:
    """The paper's augmentation: random resize (0.5 to 2.0), random crop, random flip.

    Factor 1 is the network's input `size`, or less where the crop's height or width is below half of it, in the same
    proportion and never less than the crop: a small one still sees from the whole scene down to a quarter of each side.
    """
    parts = [part / whole for part, whole in zip(crop, size, strict=True)]
    share = min(1.0, max(2 * min(parts), max(parts)))
    return RandomCrop(crop, base=(round(share * size[0]), round(share * size[1])))


def search_batches(
    root: Path,
    space: Space,
    proxy: Space,
    batch_size: int,
    seed: int,
    workers: int,
) -> Iterator[Batch]:
    """Shuffled batches of `search_data` without end. Raises DataError."""
    return endless(search_data(root, space, proxy, seed), batch_size, seed=seed, workers=workers)


def search_data(root: Path, space: Space, proxy: Space, seed: int) -> SegmentationFiles:
    """Random `crops` of the proxy's size. Raises DataError."""
    if space.classes != CITYSCAPES.classes:
        raise DataError(f"classes: {space.classes} given, {root} is read with Cityscapes' {CITYSCAPES.classes}")
    return Labelled(root).training("train", (proxy.height, proxy.width), (space.height, space.width), seed)
