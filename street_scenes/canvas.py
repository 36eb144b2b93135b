"""What a scene consists of: textured planes and the polygons that show them, in painting order."""

from itertools import accumulate
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from street_scenes.camera import NEAR_M, Camera, Point, clipped

SHADOW, CONTACT = 128, 255
"""Values of the shadow picture: no sun, and hardly any light."""

Color = tuple[float, float, float]
"""Red, green, blue in 0..255."""


class Material(NamedTuple):
    """How a surface looks and what it is: `label` is the Cityscapes id.

    A texture's tile covers `tile` metres (u, v); `contrast` scales its tone, `second` is what its mix blends to.
    `glow` is light of its own (lamps, sky); ground receives shadows.
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


class Drawn(NamedTuple):
    """`ids` (H, W) into `surfaces` and `labels`; `shadow` (H, W) 0..255."""

    ids: NDArray[np.int32]
    surfaces: list[Surface]
    labels: NDArray[np.uint8]
    shadow: NDArray[np.uint8]


class _Veil(NamedTuple):
    """What is seen through wire belongs to the fence, as Cityscapes labels it."""

    label: int


def unit(start: Point, end: Point) -> Point:
    x, y, z = end[0] - start[0], end[1] - start[1], end[2] - start[2]
    length = sqrt(x * x + y * y + z * z) or 1.0
    return x / length, y / length, z / length


class Canvas:
    """Collects a scene; later polygons hide earlier ones. Surface 0 is the sky, everywhere at first."""

    def __init__(self, sky: Surface) -> None:
        self.surfaces = [sky]
        self._points: list[Point] = []
        self._drawings: list[tuple[int, int | _Veil]] = []
        self._shadows: list[list[Point]] = []
        self._contacts: list[list[Point]] = []

    def surface(self, material: Material, plane: Plane) -> int:
        self.surfaces.append(Surface(material, plane))
        return len(self.surfaces) - 1

    def polygon(self, points: list[Point], surface: int) -> None:
        self._points.extend(points)
        self._drawings.append((len(self._points), surface))

    def face(self, points: list[Point], material: Material) -> None:
        """A flat polygon with a surface of its own: u along its first edge, v along its last."""
        plane = Plane(points[0], unit(points[0], points[1]), unit(points[0], points[-1]))
        self.polygon(points, self.surface(material, plane))

    def veil(self, points: list[Point], label: int) -> None:
        """Whatever is painted here keeps its look and becomes `label`."""
        self._points.extend(points)
        self._drawings.append((len(self._points), _Veil(label)))

    def shadow(self, points: list[Point], *, contact: bool = False) -> None:
        """Take the sun from the ground inside a polygon at y = 0; a `contact` takes the sky's light too."""
        (self._contacts if contact else self._shadows).append(points)

    def draw(self, camera: Camera) -> Drawn:
        """Rasterize: which surface and label each pixel shows."""
        height, width = camera.size
        picture = Image.new("I", (width, height))
        painter = ImageDraw.Draw(picture)
        surfaces = list(self.surfaces)
        labels = [surface.material.label for surface in surfaces]
        ends = [end for end, _ in self._drawings]
        for outline, (_, what) in zip(_outlines(camera, self._points, ends), self._drawings, strict=True):
            if not outline:
                continue
            if isinstance(what, int):
                painter.polygon(outline, fill=what)
            else:
                _veil(picture, outline, what.label, surfaces, labels)
        shadow = Image.new("L", (width, height))
        painter = ImageDraw.Draw(shadow)
        for polygons, value in ((self._shadows, SHADOW), (self._contacts, CONTACT)):
            points = [point for polygon in polygons for point in polygon]
            for outline in _outlines(camera, points, list(accumulate(map(len, polygons)))):
                if outline:
                    painter.polygon(outline, fill=value)
        return Drawn(np.asarray(picture), surfaces, np.array(labels, dtype=np.uint8), np.asarray(shadow))


def _outlines(camera: Camera, points: list[Point], ends: list[int]) -> list[list[float]]:
    """Polygons in pixels as flat lists x, y, x, y …; empty for those behind the camera."""
    if not points:
        return []
    seen = camera.seen(np.array(points))
    near = seen[:, 2] < NEAR_M
    front = seen.copy()
    front[near, 2] = NEAR_M
    flat: list[float] = camera.pixels(front).reshape(-1).tolist()
    doubtful = np.add.reduceat(near, np.array([0, *ends[:-1]])).tolist()
    outlines = []
    start = 0
    for end, behind in zip(ends, doubtful, strict=True):
        if not behind:
            outlines.append(flat[2 * start : 2 * end])
        elif behind == end - start:
            outlines.append([])
        else:
            outlines.append(camera.pixels(clipped(seen[start:end])).reshape(-1).tolist())
        start = end
    return outlines


def _veil(picture: Image.Image, outline: list[float], label: int, surfaces: list[Surface], labels: list[int]) -> None:
    x, y = outline[0::2], outline[1::2]
    left, top = max(0, int(min(x))), max(0, int(min(y)))
    right, bottom = min(picture.width, int(max(x)) + 1), min(picture.height, int(max(y)) + 1)
    if right <= left or bottom <= top:
        return
    mask = Image.new("L", (right - left, bottom - top))
    shifted = [value - (top if i % 2 else left) for i, value in enumerate(outline)]
    ImageDraw.Draw(mask).polygon(shifted, fill=1)
    inside = np.asarray(mask).astype(bool)
    region = np.array(picture.crop((left, top, right, bottom)))
    behind, place = np.unique(region[inside], return_inverse=True)
    region[inside] = (len(surfaces) + place).astype(region.dtype)
    surfaces.extend(surfaces[number] for number in behind.tolist())
    labels.extend([label] * len(behind))
    picture.paste(Image.fromarray(region), (left, top))
