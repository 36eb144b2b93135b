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
    """`size` is (height, width) in pixels, `focal_px` the focal length; angles are in radians."""

    size: tuple[int, int]
    focal_px: float
    position: Point
    yaw: float
    pitch: float
    roll: float

    @cached_property
    def rotation(self) -> Floats:
        """World directions (x, y, z) to camera directions (right, down, ahead)."""
        (cy, cp, cr), (sy, sp, sr) = ([turn(a) for a in (self.yaw, self.pitch, self.roll)] for turn in (cos, sin))
        yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return np.asarray(roll @ pitch @ yaw @ np.diag([1.0, -1.0, 1.0]))

    @property
    def center(self) -> Floats:
        """x, y of the optical axis in pixels."""
        return np.array([self.size[1] / 2, self.size[0] / 2])

    def to_camera(self, points: Floats) -> Floats:
        """World points (n, 3) in camera coordinates (n, 3)."""
        return np.asarray((points - np.array(self.position)) @ self.rotation.T)

    def to_pixels(self, points: Floats) -> Floats:
        """Camera coordinates (n, 3) with z of at least NEAR_M to pixels (n, 2), x before y."""
        return np.asarray(points[:, :2] * (self.focal_px / points[:, 2:]) + self.center)


def clip_near(polygon: Floats) -> Floats:
    """The part of a polygon (n, 3), in camera coordinates, that is beyond NEAR_M (Sutherland and Hodgman)."""
    corners: list[Floats] = []
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if start[2] >= NEAR_M:
            corners.append(start)
        if (start[2] >= NEAR_M) != (end[2] >= NEAR_M):
            corners.append(start + (end - start) * ((NEAR_M - start[2]) / (end[2] - start[2])))
    return np.array(corners).reshape(-1, 3)
