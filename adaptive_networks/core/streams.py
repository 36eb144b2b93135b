"""Videos: generated drives, pictures of a data set in their order, a folder of frames."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import LabelTable
from lgcnet_search.data.layouts import LAYOUTS, Layout
from lgcnet_search.data.segmentation import SegmentationFiles, open_rgb, pictures_in
from lgcnet_search.data.views import Resized, Size, normalized
from street_scenes.drive import drive
from street_scenes.files import scene
from street_scenes.scene import Scene

FOREGROUND = frozenset(
    (
        *("pole", "sign", "traffic light", "traffic sign", "pedestrian", "person", "bicyclist", "rider"),
        *("car", "truck", "bus", "train", "motorcycle", "bicycle"),
    )
)
"""Classes whose pixels weigh more: things, not what they stand on or before (decided here)."""
WEIGHT = 5.0


class Frame(NamedTuple):
    """A picture 1×3×H×W, and where it is known its classes 1×H×W."""

    image: Tensor
    truth: Tensor | None

    def on(self, device: torch.device) -> "Frame":
        """The same on a device."""
        return Frame(self.image.to(device), None if self.truth is None else self.truth.to(device))


@dataclass(frozen=True)
class Generated:
    """A drive through generated streets of split test, a cut every 150 frames."""

    size: Size
    frames: int
    labels: LabelTable = LAYOUTS["cityscapes"].labels

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[Frame]:
        return map(self._frame, drive("test", self.frames, self.size))

    def elsewhere(self, count: int) -> list[Frame]:
        """So many pictures of other streets."""
        return [self._frame(scene("train", index, self.size)) for index in range(count)]

    def _frame(self, drawn: Scene) -> Frame:
        classes = np.array(self.labels.train_ids)[drawn.labels]
        return Frame(normalized(Image.fromarray(drawn.image))[None], torch.from_numpy(classes)[None])


@dataclass(frozen=True)
class Labelled:
    """The pictures of a data set's split by name, which of drives is their order. Raises DataError."""

    root: Path
    layout: Layout
    split: str
    size: Size
    frames: int | None = None

    @property
    def labels(self) -> LabelTable:
        return self.layout.labels

    @cached_property
    def _pictures(self) -> SegmentationFiles:
        return self.layout.open(self.root, self.split, Resized(self.size))

    def __len__(self) -> int:
        return min(len(self._pictures), self.frames or len(self._pictures))

    def __iter__(self) -> Iterator[Frame]:
        return (Frame(image[None], truth[None]) for image, truth in map(self._pictures.__getitem__, range(len(self))))

    def elsewhere(self, count: int) -> list[Frame]:
        """Up to so many pictures from all over split train."""
        pictures = spread(self.layout.open(self.root, "train", Resized(self.size)), count)
        return [Frame(image[None], truth[None]) for image, truth in map(pictures.__getitem__, range(len(pictures)))]


@dataclass(frozen=True)
class Folder:
    """The pictures in a folder by name; their classes are a teacher's to say. Raises DataError."""

    root: Path
    size: Size
    frames: int | None = None
    labels: LabelTable = LAYOUTS["camvid"].labels

    @cached_property
    def _files(self) -> list[Path]:
        files = pictures_in(self.root)[: self.frames]
        if not files:
            raise DataError(f"{self.root}: no pictures in it (.png, .jpg); name the folder with the frames")
        return files

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Frame]:
        for file in self._files:
            picture = open_rgb(file)
            view = Resized(self.size).view((picture.height, picture.width), np.random.default_rng(0))
            yield Frame(normalized(view.image(picture))[None], None)

    def elsewhere(self, _count: int) -> list[Frame]:
        """None: of no picture the classes are known."""
        return []


Stream = Generated | Labelled | Folder


def spread(pictures: SegmentationFiles, count: int | None) -> SegmentationFiles:
    """As many of them, from all over; all where there are fewer, or None is given."""
    count = min(len(pictures), count or len(pictures))
    files = [pictures.files[index] for index in np.linspace(0, len(pictures) - 1, count).round().astype(int)]
    return SegmentationFiles(files, pictures.labels, pictures.views, full_labels=pictures.full_labels)


def weights_of(labels: LabelTable) -> Tensor:
    """Of each class in the loss."""
    return torch.tensor([WEIGHT if name in FOREGROUND else 1.0 for name in labels.names])


class Overlap:
    """Pixels by true and given class, added up over frames."""

    def __init__(self, classes: int) -> None:
        self._pixels = torch.zeros(classes, classes, dtype=torch.int64)

    @classmethod
    def sum(cls, overlaps: Iterable["Overlap"]) -> "Overlap":
        """Of several, at least one."""
        pixels = [overlap._pixels for overlap in overlaps]
        total = cls(len(pixels[0]))
        total._pixels = torch.stack(pixels).sum(dim=0)
        return total

    def add(self, given: Tensor, truth: Tensor) -> "Overlap":
        """Classes of equal shape; pixels with IGNORE as truth are left out."""
        classes = len(self._pixels)
        valid = truth != IGNORE
        index = truth[valid] * classes + given[valid]
        self._pixels += torch.bincount(index, minlength=classes**2).view(classes, classes).cpu()
        return self

    @property
    def miou(self) -> float:
        """Over the classes that occur in either; 1 where none does."""
        right = self._pixels.diag()
        union = self._pixels.sum(dim=0) + self._pixels.sum(dim=1) - right
        present = union > 0
        return float((right[present] / union[present]).mean()) if present.any() else 1.0
