"""A data set of image and label files, whatever their folders are called."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.labels import LabelTable
from lgcnet_search.data.views import ViewRule, normalized

SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})
WIDE = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
"""Pillow's modes of one channel with more than 8 bits."""
LEAST_OF_16_BITS = 8192
"""The largest value of a picture that uses its 16 bits, at least; 12-bit cameras write up to 4095."""

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
        ids = label_ids(files.label, self.labels)
        height, width = ids.shape
        if (width, height) != size:
            raise DataError(
                f"label {files.label} is {width}×{height}, its image {files.image.name} is "
                f"{size[0]}×{size[1]}; copy both again from the same source"
            )
        unknown = self.labels.unknown(np.bincount(ids.ravel(), minlength=256).tolist())
        if unknown:
            shown = ", ".join(map(str, unknown[:5])) + self.labels.hint(unknown)
            raise DataError(f"label {files.label} has ids that {self.labels.dataset} does not know: {shown}")
        return Image.fromarray(np.take(np.array(self.labels.train_ids, dtype=np.uint8), ids))


def label_ids(path: Path, labels: LabelTable) -> NDArray[np.uint8]:
    """The ids of a label picture, one a pixel: (H, W).

    A palette whose colours are the data set's says what its indices mean, since editors and optimizers renumber them;
    any other palette is for looking at, and the indices are the ids. Raises DataError.
    """
    label = open_picture(path)
    if label.mode in ("L", "P"):
        ids: NDArray[np.uint8] = np.asarray(label)
        return _by_color(label, ids, labels) if label.mode == "P" else ids
    wide = np.asarray(label)
    if label.mode in WIDE:
        if wide.min() < 0 or wide.max() > 255:
            raise DataError(
                f"label {path} has ids up to {wide.max()}, expected one of 0–255 for each pixel; "
                "files of instances (instanceIds) are something else"
            )
        return wide.astype(np.uint8)
    raise DataError(
        f"label {path} has mode {label.mode}, expected one 8-bit id for each pixel; "
        "a colour picture is for looking at, not a label file"
    )


def _by_color(label: Image.Image, ids: NDArray[np.uint8], labels: LabelTable) -> NDArray[np.uint8]:
    palette = label.getpalette("RGB") or []
    colors = {index: tuple(palette[3 * index : 3 * index + 3]) for index in np.unique(ids).tolist()}
    by_color: dict[tuple[int, ...], int] = {}
    for entry in labels.labels:
        by_color.setdefault(entry.color, entry.id)
    if not all(color in by_color for color in colors.values()):
        return ids
    meant = np.arange(256, dtype=np.uint8)
    for index, color in colors.items():
        # Several ids may have one colour: the index is then as good as any.
        if index not in {entry.id for entry in labels.labels if entry.color == color}:
            meant[index] = by_color[color]
    return np.take(meant, ids)


def open_picture(path: Path) -> Image.Image:
    """A picture, decoded; DataError if it is missing or damaged."""
    try:
        with Image.open(path) as picture:
            picture.load()
            loaded: Image.Image = picture
            return loaded
    except FileNotFoundError as error:
        raise DataError(f"{path} was removed after the folder was listed; copy it again") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path} has too many pixels for a picture ({error}); make it smaller, or take it away"
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a picture ({error}); copy it again") from error


def open_rgb(path: Path) -> Image.Image:
    """A photograph in 8 bits; one of 16 bits is scaled by their range. Raises DataError."""
    picture = open_picture(path)
    if picture.mode in WIDE:
        picture = _eight_bits(picture, path)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _eight_bits(picture: Image.Image, path: Path) -> Image.Image:
    values = np.asarray(picture)
    if picture.mode == "F" or values.max() > 65535 or values.min() < 0:
        raise DataError(f"{path} has mode {picture.mode}, whose range is not known; convert it to 8 bits")
    if values.max() < LEAST_OF_16_BITS:
        raise DataError(
            f"{path} has 16 bits and values up to {values.max()} only, so it uses 10 or 12 of them: scaled by all 16 "
            "it would be black; convert it to 8 bits"
        )
    return Image.fromarray((values // 257).astype(np.uint8))


def is_visible(path: Path) -> bool:
    """Not hidden, and not what systems and notebooks leave beside files (._x, .ipynb_checkpoints, __MACOSX, @eaDir)."""
    return not path.name.startswith((".", "__", "@"))


def pictures_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The pictures that match, sorted; those that are hidden, or in a hidden folder of it, are passed over."""
    return sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in SUFFIXES and all(map(is_visible, (path, *_between(path, folder))))
    )


def _between(path: Path, folder: Path) -> Iterator[Path]:
    yield from (parent for parent in path.parents if parent != folder and parent.is_relative_to(folder))


def folder(path: Path, root: Path, expected: str) -> Path:
    """`path` if it is a folder; else DataError with the `expected` layout and what `root` holds."""
    if path.is_dir():
        return path
    if root.is_dir():
        names = ", ".join(sorted(entry.name for entry in root.iterdir() if is_visible(entry))[:8]) or "nothing"
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
