"""What is known of a device before it has measured anything: a mean device, and the directions that devices differ in.

A direction is a vector of costs, one for each column of the features. A network n with counts x costs about x·μ on the
mean device, and its relative excess is Gaussian with covariance Σ_b σ_b² a_b(n)·a_b(n'), a_b(n) = x·B_b / x·μ.
"""

import math

import numpy as np

from latency_tables.calibration.directions import Directions, Grid, Setting
from latency_tables.calibration.estimates import Floats
from latency_tables.transfer.features import LEVELS, Features

_LEAST = 0.05
"""Of the median network: what a network costs at least in the denominator of relative errors."""
BLOCKS = ("scale", "constant", "device", "physics", *LEVELS)

_SAME = {"scale": 0.3, "constant": 0.2, "place": 0.03, "stage": 0.03, "row": 0.03}
"""The same in all settings."""
_FIXED = {block: (value,) for block, value in _SAME.items()}
_NAME, _NOISE = (0.03, 0.3, 1.0), (0.003, 0.01, 0.03, 0.1, 0.25)
ALL = Grid.of(
    {"device": 1.0, "physics": 0.2, "name": 0.05, "noise": 0.03},
    **_FIXED,
    device=(0.5, 1.5),
    physics=(0.05, 0.2, 0.8),
    name=_NAME,
    noise=_NOISE,
)
"""Around the mean of all sources, towards each of them, and towards physics."""
PHYSICS = Grid.of({"physics": 0.5, "name": 0.05, "noise": 0.03}, **_FIXED, physics=(0.3, 1.0), name=_NAME, noise=_NOISE)
"""Like no source: around what its work says."""
ONE_DEVICE = Grid.of(
    {"physics": 0.1, "name": 0.05, "noise": 0.03}, **_FIXED, physics=(0.05, 0.2), name=_NAME, noise=_NOISE
)
"""Like one of the sources."""
DESIGN = Setting(**_SAME, device=1.0, physics=0.3, name=0.03, noise=0.1)
"""What is taken for true while networks are chosen."""


class Prior:
    """A mean device and directions, as columns × directions for each block."""

    def __init__(self, features: Features, mean: Floats, others: Floats) -> None:
        """`mean` (columns) and `others` (devices × columns) are relative costs; those of `others` are directions."""
        self.mean = mean
        self._least = _LEAST * float(np.median(features.seen @ mean))
        physical = features.physical
        # What an operation may cost at all: groups of operations deviate relative to that.
        size = np.abs(others).mean(axis=0)
        size = (size + np.abs(physical).mean(axis=0)) / 2 if len(physical) else size
        size[0] = 0.0
        constant = np.zeros((features.width, 1))
        constant[0] = 1.0
        self.directions = {
            "scale": mean[:, None],
            "constant": constant,
            "device": (others - mean).T / math.sqrt(len(others)),
            "physics": (physical - mean).T,
            **{level: size[:, None] * groups for level, groups in features.groups.items()},
        }

    def of(self, counts: Floats) -> Directions:
        """Networks by their counts."""
        mean = np.maximum(counts @ self.mean, self._least)
        return self._over(counts, mean)

    def of_columns(self, counts: Floats) -> Directions:
        """Parts of networks: costs are absolute, not over what the part costs on the mean device."""
        return self._over(counts, np.ones(len(counts)))

    def _over(self, counts: Floats, mean: Floats) -> Directions:
        return Directions(mean, {block: counts @ vectors / mean[:, None] for block, vectors in self.directions.items()})
