"""Prior covariances of relative latencies: blocks of directions, each block with a standard deviation.

A network n has a vector a_b(n) for each block b of directions that its relative latency may deviate in. With Gaussian
deviations of standard deviation σ_b, two networks have the covariance Σ_b σ_b² a_b(n)·a_b(n').
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from latency_tables.calibration.estimates import Floats


@dataclass(frozen=True)
class Setting:
    """Prior standard deviations, relative to a network's latency: of each block of directions, and of the noise.

    `error` is a factor of the rows' own measuring errors, which are the directions of that block.
    """

    scale: float = 0.0
    constant: float = 0.0
    device: float = 0.0
    physics: float = 0.0
    name: float = 0.0
    place: float = 0.0
    stage: float = 0.0
    row: float = 0.0
    error: float = 0.0
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

    def only(self, kept: npt.NDArray[np.bool_]) -> "Grid":
        """The settings that are kept."""
        settings = tuple(setting for setting, keep in zip(self.settings, kept, strict=True) if keep)
        return Grid(settings, self.log_prior[kept])

    def values(self, block: str) -> Floats:
        """The standard deviation of a block, or the noise, in every setting."""
        return np.array([getattr(setting, block) for setting in self.settings])


class Directions(NamedTuple):
    """Networks seen by a prior: what they cost on its mean device, and a_b of each block: networks × directions."""

    mean: Floats
    blocks: dict[str, Floats]

    def own(self, block: str) -> Floats:
        """a_b(n)·a_b(n) of each network."""
        return np.asarray((self.blocks[block] ** 2).sum(axis=1))


def gram(left: Directions, right: Directions) -> dict[str, Floats]:
    """The inner products of two sets of networks in each block: left × right."""
    return {block: vectors @ right.blocks[block].T for block, vectors in left.blocks.items()}


def kernel(setting: Setting, grams: Mapping[str, Floats]) -> Floats:
    """The prior covariance under one setting."""
    return np.asarray(sum(getattr(setting, block) ** 2 * matrix for block, matrix in grams.items()), np.float64)


def kernels(grid: Grid, grams: Mapping[str, Floats]) -> Floats:
    """The prior covariance under every setting: settings × left × right."""
    matrices = np.stack([matrix.ravel() for matrix in grams.values()])
    scales = np.stack([grid.values(block) ** 2 for block in grams], axis=1)
    shape = next(iter(grams.values())).shape
    return (scales @ matrices).reshape(len(grid.settings), *shape)
