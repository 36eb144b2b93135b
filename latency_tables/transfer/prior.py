"""What is known of a device before it has measured anything: a mean device, and the directions that devices differ in.

A direction is a vector of costs, one for each column of the features. A network n with counts x costs about x·μ on the
mean device, and its relative excess is Gaussian with covariance Σ_b σ_b² a_b(n)·a_b(n'), a_b(n) = x·B_b / x·μ.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from latency_tables.transfer.features import LEVELS, Features, Floats

_LEAST = 0.05
"""Of the median network: what a network costs at least in the denominator of relative errors."""
BLOCKS = ("scale", "constant", "device", "physics", *LEVELS)


@dataclass(frozen=True)
class Setting:
    """Prior standard deviations, relative to a network's latency: of each block of directions, and of the noise."""

    scale: float = 0.3
    constant: float = 0.2
    device: float = 0.0
    physics: float = 0.0
    name: float = 0.0
    place: float = 0.03
    stage: float = 0.03
    row: float = 0.03
    noise: float = 0.03

    def log_prior(self, expected: Mapping[str, float]) -> float:
        """Log-normal around `expected`: a factor of 3 is one standard deviation."""
        steps = [math.log(getattr(self, name) / value) / math.log(3) for name, value in expected.items()]
        return -0.5 * sum(step**2 for step in steps)


class Grid(NamedTuple):
    """Settings, with the logarithms of their prior probabilities (up to a constant)."""

    settings: tuple[Setting, ...]
    log_prior: Floats

    @classmethod
    def of(cls, expected: Mapping[str, float], **values: Sequence[float]) -> "Grid":
        """Every combination of the values."""
        settings = tuple(
            Setting(**dict(zip(values, combination, strict=True)))
            for combination in itertools.product(*values.values())
        )
        return cls(settings, np.array([setting.log_prior(expected) for setting in settings]))

    def values(self, block: str) -> Floats:
        """The standard deviation of a block, or the noise, in every setting."""
        return np.array([getattr(setting, block) for setting in self.settings])


_NAME, _NOISE = (0.03, 0.3, 1.0), (0.003, 0.01, 0.03, 0.1, 0.25)
ALL = Grid.of(
    {"device": 1.0, "physics": 0.2, "name": 0.05, "noise": 0.03},
    device=(0.5, 1.5),
    physics=(0.05, 0.2, 0.8),
    name=_NAME,
    noise=_NOISE,
)
"""Around the mean of all sources, towards each of them, and towards physics."""
PHYSICS = Grid.of(
    {"physics": 0.5, "name": 0.05, "noise": 0.03}, device=(0.0,), physics=(0.3, 1.0), name=_NAME, noise=_NOISE
)
"""Like no source: around what its work says."""
ONE_DEVICE = Grid.of(
    {"physics": 0.1, "name": 0.05, "noise": 0.03}, device=(0.0,), physics=(0.05, 0.2), name=_NAME, noise=_NOISE
)
"""Like one of the sources."""
DESIGN = Setting(device=1.0, physics=0.3, name=0.03, noise=0.1)
"""What is taken for true while networks are chosen."""

assert {field.name for field in fields(Setting)} == {*BLOCKS, "noise"}


class Directions(NamedTuple):
    """Networks seen by a prior: what they cost on its mean device, and a_b of each block: networks × directions."""

    mean: Floats
    blocks: dict[str, Floats]

    def own(self, block: str) -> Floats:
        """a_b(n)·a_b(n) of each network."""
        return np.asarray((self.blocks[block] ** 2).sum(axis=1))


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


def gram(left: Directions, right: Directions) -> dict[str, Floats]:
    """The inner products of two sets of networks in each block: left × right."""
    return {block: left.blocks[block] @ right.blocks[block].T for block in BLOCKS}


def kernel(setting: Setting, grams: Mapping[str, Floats]) -> Floats:
    """The prior covariance under one setting."""
    return np.asarray(sum(getattr(setting, block) ** 2 * matrix for block, matrix in grams.items()), np.float64)


def kernels(grid: Grid, grams: Mapping[str, Floats]) -> Floats:
    """The prior covariance under every setting: settings × left × right."""
    matrices = np.stack([grams[block].ravel() for block in BLOCKS])
    scales = np.stack([grid.values(block) ** 2 for block in BLOCKS], axis=1)
    shape = next(iter(grams.values())).shape
    return (scales @ matrices).reshape(len(grid.settings), *shape)
