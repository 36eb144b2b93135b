"""What an image's complexity decides: its resolution, how often it is left out of an epoch, and its weight.

All formulas are decided here: the paper's are not known to us.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adaptive_networks.core.exits import Floats


@dataclass(frozen=True, eq=False)
class Decisions:
    """By the rank among `known`, the complexities of the training images, sorted; fixed before training."""

    known: Floats
    ratios: int

    @classmethod
    def by(cls, complexities: Sequence[float], ratios: int) -> "Decisions":
        """Raises ValueError where there are none, or they are not finite."""
        known = np.sort(np.asarray(complexities, np.float64))
        if not len(known) or not np.isfinite(known).all():
            raise ValueError(f"complexities: {len(known)} given, of which all must be finite, and at least one")
        return cls(known, ratios)

    def rank(self, complexity: float) -> float:
        """The share of the training images that are at most as complex."""
        return self._not_above(complexity) / len(self.known)

    def ratio(self, complexity: float) -> int:
        """The number of a ratio: equal shares of the training images take each, the most complex ones the first."""
        above = len(self.known) - self._not_above(complexity)
        return min(self.ratios - 1, above * self.ratios // len(self.known))

    def dropped(self, complexity: float) -> float:
        """Probability of being left out of an epoch: up to ½, and 0 for the more complex half."""
        return 0.5 * max(0.0, 1 - 2 * self.rank(complexity))

    def weight(self, complexity: float) -> float:
        """Of the image's loss: its complexity over the mean, from ½ to 2."""
        return float(np.clip(complexity / max(self.known.mean(), 1e-12), 0.5, 2.0))

    def _not_above(self, complexity: float) -> int:
        return int(np.searchsorted(self.known, complexity, side="right"))
