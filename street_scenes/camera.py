"""A pinhole camera on a car. World: x right, y up, z ahead, metres; the road is at y = 0."""

from dataclasses import dataclass
from functools import cached_property
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float, float]
Floats = NDArray[np.float64]

NEAR_M = 0.4


@dataclass(frozen=True)
class Camera:
    """`focal` in pixels, angles in radians; `size` is (height, width)."""

    size: tuple[int, int]
    focal: float
    position: Point
    yaw: float
    pitch: float
    roll: float

    @cached_property
    def rotation(self) -> Floats:
        """World directions (x, y, z) to camera directions (right, down, ahead)."""
        c, s = cos(self.yaw), sin(self.yaw)
        yaw = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        c, s = cos(self.pitch), sin(self.pitch)
        pitch = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        c, s = cos(self.roll), sin(self.roll)
        roll = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        rotation: Floats = roll @ pitch @ yaw @ np.diag([1.0, -1.0, 1.0])
        return rotation

    @property
    def center(self) -> tuple[float, float]:
        """x, y of the optical axis in pixels."""
        return self.size[1] / 2, self.size[0] / 2

    def seen(self, points: Floats) -> Floats:
        """World points (n, 3) in camera coordinates (n, 3)."""
        seen: Floats = (points - np.array(self.position)) @ self.rotation.T
        return seen

    def pixels(self, seen: Floats) -> Floats:
        """Camera coordinates (n, 3) with z of at least NEAR_M to pixels (n, 2), x before y."""
        x, y = self.center
        pixels: Floats = seen[:, :2] * (self.focal / seen[:, 2:]) + np.array([x, y])
        return pixels


def clipped(seen: Floats) -> Floats:
    """The part of a polygon (n, 3), in camera coordinates, that is beyond NEAR_M (Sutherland and Hodgman)."""
    kept: list[Floats] = []
    for this, following in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        if this[2] >= NEAR_M:
            kept.append(this)
        if (this[2] >= NEAR_M) != (following[2] >= NEAR_M):
            kept.append(this + (following - this) * ((NEAR_M - this[2]) / (following[2] - this[2])))
    return np.array(kept).reshape(-1, 3)
