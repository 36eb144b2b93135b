"""Confidences to thresholds, thresholds to rates, and the best of them under a latency ceiling: numbers only."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lgcnet_search.errors import Refused

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

POLICIES = 39
"""Shapes of the distribution over exits that a sweep tries."""


class Rated(Protocol):
    """Something that was found to be so accurate when paths are taken at these rates."""

    @property
    def rates(self) -> tuple[float, ...]: ...

    @property
    def accuracy(self) -> float: ...


Point = TypeVar("Point", bound=Rated)


class CeilingTooLow(Refused, ValueError):
    """No thresholds stay under the ceiling; the message says how low the expected latency gets."""


def shares(policy: int, exits: int) -> Floats:
    """Wanted shares of K exits, proportional to ρ^k with ρ = policy / 20, k = 1 to K (Huang et al. 2018, MSDNet)."""
    if not 1 <= policy <= POLICIES:
        raise ValueError(f"policy: {policy} is none of 1 to {POLICIES}")
    logs = math.log(policy / 20) * np.arange(1, exits + 1)
    powers = np.exp(logs - logs.max())
    return np.asarray(powers / powers.sum(), np.float64)


def thresholds(confidence: Floats, wanted: Floats) -> Floats:
    """Thresholds of K exits such that shares `wanted` (K) of the images with `confidence` (K × N) leave at each.

    Exit by exit, of the images that are left the ⌊N · share⌋ most confident leave, and all who are as confident as the
    last of them; where that are too few, nobody does (MSDNet's budgeted batch). The last threshold is -∞. Raises
    ValueError for shapes that do not fit, and values that are not finite.
    """
    exits, images = _checked(confidence)
    if wanted.shape != (exits,) or not (np.isfinite(wanted).all() and (wanted >= 0).all()):
        raise ValueError(f"wanted: {wanted.tolist()} are no shares of {exits} exits")
    found = np.full(exits, np.inf)
    left = np.ones(images, dtype=bool)
    for exit in range(exits - 1):
        leaving = math.floor(images * wanted[exit] + 1e-9)
        ordered = np.sort(confidence[exit, left])[::-1]
        if 0 < leaving <= len(ordered):
            found[exit] = ordered[leaving - 1]
            left &= confidence[exit] < found[exit]
    found[-1] = -np.inf
    return found


def taken(confidence: Floats, thresholds: Sequence[float] | Floats) -> Integers:
    """The exit of each image: the first whose confidence (K × N) is at least its threshold, else the last.

    Raises ValueError for thresholds of another number of exits.
    """
    exits, _ = _checked(confidence)
    limits = np.asarray(thresholds, np.float64)
    if limits.shape != (exits,) or np.isnan(limits).any():
        raise ValueError(f"thresholds: {limits.tolist()} given, there are {exits} exits")
    leaves = confidence >= limits[:, None]
    leaves[-1] = True
    return np.asarray(leaves.argmax(axis=0), np.int64)


def rates(exits_taken: Integers, exits: int) -> Floats:
    """The share of images that take each exit."""
    return np.bincount(exits_taken, minlength=exits) / len(exits_taken)


class Operating(NamedTuple):
    """Where a network with exits is run: thresholds, and what follows on the images they were chosen with."""

    thresholds: tuple[float, ...]
    rates: tuple[float, ...]
    accuracy: float


def mean_us(rates: Sequence[float], latency_us: Sequence[float]) -> float:
    """Σ rate · latency of every path."""
    return float(np.dot(rates, latency_us))


def std_us(rates: Sequence[float], latency_us: Sequence[float], images: int) -> float:
    """Standard error of that mean which comes from the number of images that shares were counted on."""
    square = float(np.dot(rates, np.square(latency_us)))
    return math.sqrt(max(0.0, square - mean_us(rates, latency_us) ** 2) / images)


def operate(confidence: Floats, correct: Booleans, limits: Sequence[float] | Floats) -> Operating:
    """Run at thresholds; `confidence` and `correct` are exits × images. Raises ValueError as `taken`."""
    exit_of = taken(confidence, limits)
    accuracy = correct[exit_of, np.arange(len(exit_of))].mean()
    return Operating(tuple(map(float, limits)), tuple(rates(exit_of, len(confidence)).tolist()), float(accuracy))


def all_to(exit: int, exits: int) -> Floats:
    """Thresholds at which every image takes one exit."""
    return np.where(np.arange(exits) < exit, np.inf, -np.inf)


def swept(confidence: Floats, correct: Booleans) -> list[Operating]:
    """One operating point for every policy, those that spend least first."""
    exits, _ = _checked(confidence)
    limits = [thresholds(confidence, shares(policy, exits)) for policy in range(1, POLICIES + 1)]
    return [operate(confidence, correct, each) for each in limits]


def sweep(points: Sequence[Point], latency_us: Sequence[float], at_most_us: float) -> Point:
    """The most accurate point whose expected latency is at most `at_most_us`; of several, the fastest.

    `latency_us` is of every path. Raises CeilingTooLow; ValueError where there are other rates than latencies.
    """
    if any(len(point.rates) != len(latency_us) for point in points):
        raise ValueError(f"latency_us: {len(latency_us)} given, the points have rates of {len(points[0].rates)} paths")
    means_us = {id(point): mean_us(point.rates, latency_us) for point in points}
    within = [point for point in points if means_us[id(point)] <= at_most_us]
    if not within:
        raise CeilingTooLow(
            f"ceiling: {at_most_us / 1000:.6g} ms is too low: the least expected latency is "
            f"{min(means_us.values()) / 1000:.6g} ms"
        )
    return max(within, key=lambda point: (point.accuracy, -means_us[id(point)]))


def _checked(confidence: Floats) -> tuple[int, int]:
    """Exits and images. Raises ValueError for confidences that are none."""
    if confidence.ndim != 2 or not confidence.shape[1]:
        raise ValueError(f"confidence: shape {confidence.shape} given, it takes exits × images")
    if not np.isfinite(confidence).all():
        raise ValueError("confidence: not finite; are there NaNs in the network's weights?")
    return confidence.shape[0], confidence.shape[1]
