"""What a picture consists of: polygons in painting order, each with a textured plane that it shows."""

from collections.abc import Iterable
from itertools import accumulate, chain
from math import dist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from street_scenes.drawing.camera import NEAR_M, Camera, Floats, Point, clip_near

SHADOW, CONTACT = 128, 255
"""Values of the shadow picture: no sun, and hardly any light."""

Color = tuple[float, float, float]
"""Red, green, blue in 0..255."""


class Material(NamedTuple):
    """How a surface looks and what it is: `label` is the Cityscapes id.

    A texture's tile covers `tile` metres (u, v); `contrast` scales its tone, its mix blends to the colour `second`.
    `glow` is light of its own (lamps, sky); `ground` receives shadows.
    """

    label: int
    color: Color
    texture: str = "plain"
    second: Color = (40, 44, 50)
    contrast: float = 0.5
    tile: tuple[float, float] = (4.0, 4.0)
    glow: float = 0.0
    ground: bool = False


class Plane(NamedTuple):
    """A point of a plane and two directions in it: u and v of its texture, in metres."""

    origin: Point
    u: Point
    v: Point


class Surface(NamedTuple):
    material: Material
    plane: Plane


class Drawing(NamedTuple):
    """`ids` (H, W) into `surfaces`; `labels` (H, W) are Cityscapes ids; `shadow` (H, W) is in 0..255."""

    ids: NDArray[np.int32]
    surfaces: list[Surface]
    labels: NDArray[np.uint8]
    shadow: NDArray[np.uint8]


class Canvas:
    """Collects polygons; later ones hide earlier ones. Surface 0 is the sky, everywhere at first."""

    def __init__(self, sky: Surface) -> None:
        self._surfaces = [sky]
        self._polygons: list[list[Point]] = []
        self._veils: set[int] = set()
        self._shadows: dict[int, list[list[Point]]] = {SHADOW: [], CONTACT: []}

    def polygon(self, points: list[Point], material: Material, plane: Plane | None = None) -> None:
        """Paint a flat polygon; its texture's u runs along its first edge, v along its last, if `plane` is None."""
        if plane is None:
            plane = Plane(points[0], _direction(points[0], points[1]), _direction(points[0], points[-1]))
        self._surfaces.append(Surface(material, plane))
        self._polygons.append(points)

    def veil(self, points: list[Point], label: int) -> None:
        """What is painted here keeps its look and gets `label`: what is seen through wire is labelled as fence."""
        self._veils.add(len(self._surfaces))
        self.polygon(points, Material(label, (0, 0, 0)))

    def shadow(self, points: list[Point], value: int = SHADOW) -> None:
        """Take the light from the ground inside a polygon at y = 0; `value` is SHADOW or CONTACT."""
        self._shadows[value].append(points)

    def draw(self, camera: Camera) -> Drawing:
        """Rasterize: which surface, label and shadow each pixel shows."""
        size = camera.size[::-1]
        ids, veils, shadow = Image.new("I", size), Image.new("I", size), Image.new("L", size)
        paint, paint_veil, paint_shadow = (ImageDraw.Draw(picture).polygon for picture in (ids, veils, shadow))
        for number, outline in enumerate(_outlines(camera, self._polygons), start=1):
            if outline:
                (paint_veil if number in self._veils else paint)(outline, fill=number)
        for value, polygons in self._shadows.items():
            for outline in _outlines(camera, polygons):
                if outline:
                    paint_shadow(outline, fill=value)
        labels = np.array([surface.material.label for surface in self._surfaces], dtype=np.uint8)
        # Surfaces are numbered in painting order, so a veil labels only what was painted before it.
        labels = labels[np.maximum(np.asarray(ids), np.asarray(veils))]
        return Drawing(np.asarray(ids), self._surfaces, labels, np.asarray(shadow))


def to_array(points: Iterable[Point]) -> Floats:
    """Points as rows (n, 3); NumPy takes several times as long for nested tuples."""
    return np.fromiter(chain.from_iterable(points), dtype=np.float64).reshape(-1, 3)


def _direction(start: Point, end: Point) -> Point:
    length = dist(start, end) or 1.0
    return (end[0] - start[0]) / length, (end[1] - start[1]) / length, (end[2] - start[2]) / length


def _outlines(camera: Camera, polygons: list[list[Point]]) -> list[list[float]]:
    """Polygons in pixels as flat lists x, y, x, y …; empty for those behind the camera."""
    if not polygons:
        return []
    points = camera.to_camera(to_array(chain.from_iterable(polygons)))
    behind = points[:, 2] < NEAR_M
    pixels = camera.to_pixels(np.where(behind[:, None], NEAR_M, points)).reshape(-1).tolist()
    ends = list(accumulate(map(len, polygons)))
    starts = [0, *ends[:-1]]
    outlines: list[list[float]] = []
    for start, end, hidden in zip(starts, ends, np.add.reduceat(behind, starts).tolist(), strict=True):
        if not hidden:
            outlines.append(pixels[2 * start : 2 * end])
        elif hidden == end - start:
            outlines.append([])
        else:
            outlines.append(camera.to_pixels(clip_near(points[start:end])).reshape(-1).tolist())
    return outlines
