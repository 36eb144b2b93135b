"""The data sets that networks are searched, trained and evaluated on, in one table.

A new data set is a file beside this one, with its classes and a function that lists its files, and an entry of LAYOUTS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lgcnet_search.data import camvid, cityscapes
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import LabelTable
from lgcnet_search.data.segmentation import Files, SegmentationFiles
from lgcnet_search.data.views import Size, ViewRule

TRAINVAL = "trainval"
"""The splits train and val together."""


@dataclass(frozen=True)
class Layout:
    """A data set: its classes, its files, and what a network for it is like.

    `files` lists the pictures of a split that lie under a folder and raises DataError. `held_out` is the split that a
    training is evaluated on, `size` the height and width of a network's input where nothing else is asked for, and
    `crop` those that a supernet is trained at.
    """

    labels: LabelTable
    files: Callable[[Path, str], list[Files]]
    held_out: str
    size: Size
    crop: Size
    splits: tuple[str, ...] = ("train", "val", "test")

    def open(
        self, root: Path, split: str, views: ViewRule, *, full_labels: bool = False, seed: int = 0
    ) -> SegmentationFiles:
        """The pictures of one of `splits`, or of trainval. Raises DataError."""
        parts = ("train", "val") if split == TRAINVAL else (split,)
        for part in parts:
            if part not in self.splits:
                raise DataError(f"split: {self.labels.dataset} has no {part!r}; it has {', '.join(self.splits)}")
        files = [file for part in parts for file in self.files(root, part)]
        return SegmentationFiles(files, self.labels, views, full_labels=full_labels, seed=seed)


LAYOUTS = {
    "cityscapes": Layout(
        labels=cityscapes.LABELS,
        files=cityscapes.list_files,
        held_out="val",
        size=(769, 1537),
        crop=(128, 256),
        splits=("train", "val", "test", cityscapes.COARSE),
    ),
    "camvid": Layout(labels=camvid.LABELS, files=camvid.list_files, held_out="test", size=(720, 960), crop=(144, 192)),
}

DEFAULT = "cityscapes"
"""The layout of generated scenes too."""
