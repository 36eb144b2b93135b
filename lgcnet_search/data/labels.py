"""The classes of a data set: the id in a label file, the id a network is trained on, the colour in pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lgcnet_search.computing.batches import IGNORE


class Label(NamedTuple):
    """One class: `id` is its value in label files, `train_id` is the network's output channel or `IGNORE`."""

    id: int
    name: str
    train_id: int
    color: tuple[int, int, int]


@dataclass(frozen=True)
class LabelTable:
    """All classes of a data set; ids that are not here are wrong. `void` has more ids that stand for no class."""

    dataset: str
    labels: tuple[Label, ...]
    void: frozenset[int] = frozenset()

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
        train_ids = {label.id: label.train_id for label in self.labels}
        return tuple(train_ids.get(value, IGNORE) for value in range(256))

    def unknown(self, histogram: Sequence[int]) -> list[int]:
        """The ids that occur in a 256-entry histogram but not in this table."""
        ids = {label.id for label in self.labels} | self.void
        return [value for value, count in enumerate(histogram) if count and value not in ids]

    def hint(self, unknown: Sequence[int]) -> str:
        """What unknown ids may come from, and the way out; may be empty."""
        if any(label.id != label.train_id != IGNORE for label in self.labels) and list(unknown) == [IGNORE]:
            return f"; ids 0–{self.classes - 1} with 255 are train ids, the labelIds files are needed"
        return f"; files with the {len(self.labels)} ids {self.labels[0].id}–{self.labels[-1].id} are needed"

    def colored(self, train_ids: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Train ids of shape (...) as RGB of shape (..., 3); ignored pixels are black."""
        palette = np.zeros((256, 3), dtype=np.uint8)
        for label in self.evaluated:
            palette[label.train_id] = label.color
        return np.take(palette, train_ids, axis=0)
