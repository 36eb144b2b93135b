"""A data set of image and label files, whatever their folders are called."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import LabelTable
from lgcnet_search.data.views import ViewRule, normalized

Key = int | tuple[int, int]
"""An index, or an index and the epoch it is drawn in."""


KEPT_BYTES = 256 << 20
"""How much a data set keeps of what it has decoded: all of a small one, which is then read faster."""


class Files(NamedTuple):
    """A picture and its labels."""

    image: Path
    label: Path


class SegmentationFiles(Dataset[tuple[Tensor, Tensor]]):
    """Images as normalized float32 (3, h, w) and train ids as int64 (h, w), seen through `views`.

    What is random in item (index, epoch) follows from `seed`, epoch and index alone: it is the same whichever worker
    or process reads it. With `full_labels` labels keep the file's resolution (evaluation). Raises DataError naming
    the file for pictures that cannot be read, labels of another size than the image, and ids not in `labels`.
    """

    def __init__(
        self, files: Sequence[Files], labels: LabelTable, views: ViewRule, *, full_labels: bool = False, seed: int = 0
    ) -> None:
        self.files = tuple(files)
        self.labels = labels
        self.views = views
        self.full_labels = full_labels
        self.seed = seed
        self._kept: dict[int, tuple[Image.Image, Image.Image]] = {}
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        index, epoch = key if isinstance(key, tuple) else (key, 0)
        image, label = self._kept.get(index) or self._read(index)
        rng = np.random.default_rng((self.seed, epoch, index))
        view = self.views.view((image.height, image.width), rng)
        if not self.full_labels:
            label = view.label(label, IGNORE)
        return normalized(view.image(image)), torch.from_numpy(np.array(label, dtype=np.int64))

    def _read(self, index: int) -> tuple[Image.Image, Image.Image]:
        """Image and label with train ids; kept while there is room."""
        files = self.files[index]
        image = open_rgb(files.image)
        pair = (image, self._train_ids(files, image.size))
        size = 4 * image.width * image.height
        if self._kept_bytes + size <= KEPT_BYTES:
            self._kept[index] = pair
            self._kept_bytes += size
        return pair

    def _train_ids(self, files: Files, size: tuple[int, int]) -> Image.Image:
        label = open_picture(files.label)
        if label.mode not in ("L", "P"):
            raise DataError(
                f"label {files.label} has mode {label.mode}, expected one 8-bit id for each pixel; "
                "a colour picture is for looking at, not a label file"
            )
        if label.size != size:
            raise DataError(
                f"label {files.label} is {label.width}×{label.height}, its image {files.image.name} is "
                f"{size[0]}×{size[1]}; copy both again from the same source"
            )
        unknown = self.labels.unknown(label.histogram())
        if unknown:
            shown = ", ".join(map(str, unknown[:5]))
            hint = "; ids 0–18 with 255 are train ids, the labelIds files are needed" if unknown == [IGNORE] else ""
            raise DataError(f"label {files.label} has ids that {self.labels.dataset} does not know: {shown}{hint}")
        if label.mode == "P":
            label = Image.fromarray(np.asarray(label))
        train_ids: Image.Image = label.point(self.labels.train_ids)
        return train_ids


def open_picture(path: Path) -> Image.Image:
    """A picture, decoded; DataError if it is missing or damaged."""
    try:
        with Image.open(path) as picture:
            picture.load()
            loaded: Image.Image = picture
            return loaded
    except FileNotFoundError as error:
        raise DataError(f"{path} was removed after the folder was listed; copy it again") from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read as a picture ({error}); copy it again") from error


def open_rgb(path: Path) -> Image.Image:
    picture = open_picture(path)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def folder(path: Path, root: Path, expected: str) -> Path:
    """`path` if it is a folder; else DataError with the `expected` layout and what `root` holds."""
    if path.is_dir():
        return path
    if root.is_dir():
        names = ", ".join(sorted(entry.name for entry in root.iterdir())[:8]) or "nothing"
        content = f"{root} holds {names}"
    else:
        content = f"{root} does not exist"
    raise DataError(f"no folder {path}: {content}. Expected layout: {expected}")


def labelled(files: Iterable[Files], images: Path, expected: str) -> list[Files]:
    """The files of a split; DataError if there are none under `images`, or if one has no label file."""
    files = list(files)
    if not files:
        raise DataError(f"no images under {images}. Expected layout: {expected}")
    missing = [pair for pair in files if not pair.label.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(files)} images have no label file, the first is {missing[0].image}: "
            f"expected {missing[0].label}. Copy the label files to {missing[0].label.parent}"
        )
    return files
