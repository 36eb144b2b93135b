"""The classes of each data set: the id in a label file, the id a network is trained on, the colour in pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""The train id of pixels that neither loss nor metrics count."""


class Label(NamedTuple):
    """One class: `id` stands in label files, `train_id` is the network's output channel or `IGNORE`."""

    id: int
    name: str
    train_id: int
    color: tuple[int, int, int]


@dataclass(frozen=True)
class LabelTable:
    """All classes of a data set; ids that are not here are wrong."""

    dataset: str
    labels: tuple[Label, ...]

    @cached_property
    def evaluated(self) -> tuple[Label, ...]:
        """The classes a network is trained on, in the order of their train ids."""
        return tuple(
            sorted((label for label in self.labels if label.train_id != IGNORE), key=lambda label: label.train_id)
        )

    @property
    def classes(self) -> int:
        return len(self.evaluated)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.evaluated)

    @cached_property
    def train_ids(self) -> tuple[int, ...]:
        """256 entries, id to train id; unknown ids give `IGNORE`."""
        known = {label.id: label.train_id for label in self.labels}
        return tuple(known.get(value, IGNORE) for value in range(256))

    def unknown(self, histogram: Sequence[int]) -> list[int]:
        """The ids that occur in a 256-entry histogram but not in this table."""
        known = {label.id for label in self.labels}
        return [value for value, count in enumerate(histogram) if count and value not in known]

    def colored(self, train_ids: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Train ids of shape (...) as RGB of shape (..., 3); ignored pixels are black."""
        palette = np.zeros((256, 3), dtype=np.uint8)
        for label in self.evaluated:
            palette[label.train_id] = label.color
        return np.take(palette, train_ids, axis=0)


# Ids, train ids and colours as published with the Cityscapes data set (Cordts et al., CVPR 2016). The licence
# plate (-1) is left out: no labelIds file holds it.
CITYSCAPES = LabelTable(
    "Cityscapes",
    (
        Label(0, "unlabeled", IGNORE, (0, 0, 0)),
        Label(1, "ego vehicle", IGNORE, (0, 0, 0)),
        Label(2, "rectification border", IGNORE, (0, 0, 0)),
        Label(3, "out of roi", IGNORE, (0, 0, 0)),
        Label(4, "static", IGNORE, (0, 0, 0)),
        Label(5, "dynamic", IGNORE, (111, 74, 0)),
        Label(6, "ground", IGNORE, (81, 0, 81)),
        Label(7, "road", 0, (128, 64, 128)),
        Label(8, "sidewalk", 1, (244, 35, 232)),
        Label(9, "parking", IGNORE, (250, 170, 160)),
        Label(10, "rail track", IGNORE, (230, 150, 140)),
        Label(11, "building", 2, (70, 70, 70)),
        Label(12, "wall", 3, (102, 102, 156)),
        Label(13, "fence", 4, (190, 153, 153)),
        Label(14, "guard rail", IGNORE, (180, 165, 180)),
        Label(15, "bridge", IGNORE, (150, 100, 100)),
        Label(16, "tunnel", IGNORE, (150, 120, 90)),
        Label(17, "pole", 5, (153, 153, 153)),
        Label(18, "polegroup", IGNORE, (153, 153, 153)),
        Label(19, "traffic light", 6, (250, 170, 30)),
        Label(20, "traffic sign", 7, (220, 220, 0)),
        Label(21, "vegetation", 8, (107, 142, 35)),
        Label(22, "terrain", 9, (152, 251, 152)),
        Label(23, "sky", 10, (70, 130, 180)),
        Label(24, "person", 11, (220, 20, 60)),
        Label(25, "rider", 12, (255, 0, 0)),
        Label(26, "car", 13, (0, 0, 142)),
        Label(27, "truck", 14, (0, 0, 70)),
        Label(28, "bus", 15, (0, 60, 100)),
        Label(29, "caravan", IGNORE, (0, 0, 90)),
        Label(30, "trailer", IGNORE, (0, 0, 110)),
        Label(31, "train", 16, (0, 80, 100)),
        Label(32, "motorcycle", 17, (0, 0, 230)),
        Label(33, "bicycle", 18, (119, 11, 32)),
    ),
)

# The 11 classes and the void of the SegNet tutorial's CamVid; there the id is the train id.
CAMVID = LabelTable(
    "CamVid",
    (
        Label(0, "sky", 0, (128, 128, 128)),
        Label(1, "building", 1, (128, 0, 0)),
        Label(2, "pole", 2, (192, 192, 128)),
        Label(3, "road", 3, (128, 64, 128)),
        Label(4, "pavement", 4, (60, 40, 222)),
        Label(5, "tree", 5, (128, 128, 0)),
        Label(6, "sign", 6, (192, 128, 128)),
        Label(7, "fence", 7, (64, 64, 128)),
        Label(8, "car", 8, (64, 0, 128)),
        Label(9, "pedestrian", 9, (64, 64, 0)),
        Label(10, "bicyclist", 10, (0, 128, 192)),
        Label(11, "void", IGNORE, (0, 0, 0)),
    ),
)
