"""Where things are put: along a street that bends, painted from far to near."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import atan, cos, hypot, sin, tau
from random import Random
from typing import Concatenate, ParamSpec

from street_scenes.drawing.camera import Camera, Point
from street_scenes.drawing.canvas import Canvas, Material, Plane
from street_scenes.drawing.shading import Light
from street_scenes.town import Town

Spot = tuple[float, float]
"""A place on a board: u to the right, v up, in metres."""

_P = ParamSpec("_P")
_Thing = Callable[Concatenate["Stage", _P], None]


@dataclass
class Stage:
    """Street coordinates: x across, z along, both in metres from where the camera was when it had driven nowhere.

    The street bends `bend_per_m`. The camera has driven `ahead_m`.
    """

    canvas: Canvas
    camera: Camera
    light: Light
    town: Town
    rng: Random
    bend_per_m: float
    ahead_m: float = 0.0
    _waiting: list[tuple[float, int, int, Callable[[], None]]] = field(default_factory=list)

    def later(self, distance: float, thing: "_Thing[_P]", *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Call `thing(stage, ...)` in order of distance in metres, the farthest first."""
        call = partial(thing, self, *args, **kwargs)
        self._waiting.append((-distance, len(self._waiting), self.rng.getrandbits(32), call))

    def paint(self) -> None:
        """Call everything that waits."""
        for _, _, seed, call in sorted(self._waiting):
            # Detail depends on size in pixels, and what it draws by lot must not change the rest of the scene.
            self.rng.seed(seed)
            call()

    def at(self, x: float, y: float, z: float) -> Point:
        """Street to world."""
        return x + 0.5 * self.bend_per_m * z * z, y, z

    def along(self, x: float, near: float, far: float, low: float, high: float) -> list[Point]:
        """An upright rectangle along the street, near end first."""
        return [self.at(x, low, near), self.at(x, low, far), self.at(x, high, far), self.at(x, high, near)]

    def across(self, x: float, other: float, z: float, low: float, high: float) -> list[Point]:
        """An upright rectangle across the street."""
        return [self.at(x, low, z), self.at(other, low, z), self.at(other, high, z), self.at(x, high, z)]

    def flat(self, x: float, other: float, near: float, far: float, y: float = 0.0) -> list[Point]:
        """A level rectangle."""
        return [self.at(x, y, near), self.at(x, y, far), self.at(other, y, far), self.at(other, y, near)]

    def heading(self, z: float) -> float:
        """The street's direction at z, radians from straight ahead to the right."""
        return atan(self.bend_per_m * z)

    def pixels(self, metres: float, z: float) -> float:
        """About how many pixels `metres` are at distance z."""
        return self.camera.focal_px * metres / max(z, 1.0)

    def shows(self, x: float, z: float, reach: float) -> bool:
        """Whether something `reach` metres wide to either side of (x, z) can be in the picture."""
        eye_x, _, eye_z = self.camera.position
        z_m = z - eye_z
        return abs(self.at(x, 0, z)[0] - eye_x - self.camera.yaw * z_m) - reach < 1.0 + 0.54 * z_m

    def board(self, x: float, z: float, y: float = 0.0) -> "Board":
        """An upright plane at a place, facing the camera."""
        foot = self.at(x, y, z)
        dx, dz = foot[0] - self.camera.position[0], foot[2] - self.camera.position[2]
        length = hypot(dx, dz) or 1.0
        return Board(self.canvas, foot, (dz / length, 0.0, -dx / length))

    def cast(self, footprint: list[Point], height: float) -> None:
        """The shadow that something with this footprint and height throws on the ground."""
        x, y, z = self.light.sun_direction
        reach = min(height / max(y, 0.15), 40.0)
        tips = [(px - x * reach, 0.0, pz - z * reach) for px, _, pz in footprint]
        self.canvas.shadow(footprint)
        self.canvas.shadow(tips)
        for i in range(len(footprint)):
            self.canvas.shadow([footprint[i - 1], footprint[i], tips[i], tips[i - 1]])

    def block(self, footprint: list[Point], top: list[Point], sides: Sequence[Material], roof: Material | None) -> None:
        """A solid with four sides, the first one between the first two corners of `footprint` and of `top`."""
        (x0, y0, z0), (x1, y1, z1), (x2, y2, z2), (x3, y3, z3) = footprint[0], footprint[2], top[0], top[2]
        middle = ((x0 + x1 + x2 + x3) / 4, (y0 + y1 + y2 + y3) / 4, (z0 + z1 + z2 + z3) / 4)
        faces = [[footprint[i - 1], footprint[i], top[i], top[i - 1]] for i in (1, 2, 3, 0)]
        for face, material in zip([*faces, top], [*sides, roof], strict=True):
            if material and _separates(face, self.camera.position, middle):
                self.canvas.polygon(face, material)

    def box(self, x: float, depth: float, near: float, far: float, height: float, *looks: Material) -> None:
        """A box along the street with its shadow; its front is at x, its back `depth` (signed) away from the street.

        `looks` are the materials of its front and back, its ends, and its top, which may be left out.
        """
        front, end, *top = looks
        footprint = self.flat(x, x + depth, near, far)
        roof = top[0] if top else None
        self.block(footprint, self.flat(x, x + depth, near, far, height), (front, end, front, end), roof)
        self.cast(footprint, height)


def _separates(face: list[Point], eye: Point, inside: Point) -> bool:
    """Whether the plane of a face is between the eye and a point inside the solid: the face is seen."""
    (x, y, z), (x1, y1, z1), *_, (x2, y2, z2) = face
    ax, ay, az, bx, by, bz = x1 - x, y1 - y, z1 - z, x2 - x, y2 - y, z2 - z
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    sides = (nx * (px - x) + ny * (py - y) + nz * (pz - z) > 0 for px, py, pz in (eye, inside))
    return next(sides) != next(sides)


@dataclass
class Board:
    """Paints flat shapes on an upright plane through `foot`; `right` is its unit vector to the right."""

    canvas: Canvas
    foot: Point
    right: Point

    def points(self, outline: list[Spot]) -> list[Point]:
        (x, y, z), (right_x, _, right_z) = self.foot, self.right
        return [(x + u * right_x, y + v, z + u * right_z) for u, v in outline]

    def polygon(self, outline: list[Spot], material: Material) -> None:
        self.canvas.polygon(self.points(outline), material, Plane(self.foot, self.right, (0.0, 1.0, 0.0)))

    def box(self, u: float, v: float, width: float, height: float, material: Material) -> None:
        """A rectangle whose middle at the bottom is (u, v)."""
        left, right = u - width / 2, u + width / 2
        self.polygon([(left, v), (right, v), (right, v + height), (left, v + height)], material)

    def limb(self, start: Spot, end: Spot, width: float, material: Material) -> None:
        """A thick line."""
        (u0, v0), (u1, v1) = start, end
        factor = width / 2 / (hypot(u1 - u0, v1 - v0) or 1.0)
        a, b = (v0 - v1) * factor, (u1 - u0) * factor
        self.polygon([(u0 + a, v0 + b), (u1 + a, v1 + b), (u1 - a, v1 - b), (u0 - a, v0 - b)], material)

    def disc(self, u: float, v: float, radius: float, material: Material, corners: int = 10) -> None:
        """A regular polygon around (u, v)."""
        self.polygon([(u + radius * du, v + radius * dv) for du, dv in directions(corners)], material)


@lru_cache(maxsize=64)
def directions(corners: int, turn: float = 0.0) -> list[Spot]:
    """Unit vectors all around, the first one `turn` radians up from the right."""
    return [(cos(turn + tau * i / corners), sin(turn + tau * i / corners)) for i in range(corners)]
