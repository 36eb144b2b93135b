"""Where objects are put: along a street that bends, painted from far to near."""

from collections.abc import Callable
from math import atan, cos, sin
from random import Random

from street_scenes.camera import Camera, Point
from street_scenes.canvas import Canvas, Material, Plane
from street_scenes.shading import Light
from street_scenes.town import Town


class Stage:
    """Street coordinates: x across, from the camera's axis, z along, both metres; `bend` is the street's curvature."""

    def __init__(
        self, canvas: Canvas, camera: Camera, light: Light, town: Town, rng: Random, bend_per_m: float
    ) -> None:
        self.canvas = canvas
        self.camera = camera
        self.light = light
        self.town = town
        self.rng = rng
        self.bend_per_m = bend_per_m
        self._waiting: list[tuple[float, int, int, Callable[[], None]]] = []

    def at(self, x: float, y: float, z: float) -> Point:
        """Street to world."""
        return x + 0.5 * self.bend_per_m * z * z, y, z

    def heading(self, z: float) -> float:
        """The street's direction at z, radians from straight ahead to the right."""
        return atan(self.bend_per_m * z)

    def pixels(self, metres: float, z: float) -> float:
        """About how many pixels `metres` are at distance z."""
        return self.camera.focal * metres / max(z, 1.0)

    def visible(self, x: float, z: float, reach: float) -> bool:
        """Whether something `reach` metres wide to either side at (x, z) can be in the picture."""
        place = self.at(x, 0, z)[0] - self.camera.yaw * z
        return abs(place) - reach < 1.0 + 0.54 * z

    def later(self, distance: float, paint: Callable[[], None]) -> None:
        """Paint in order of distance, the farthest first."""
        self._waiting.append((-distance, len(self._waiting), self.rng.getrandbits(32), paint))

    def paint(self) -> None:
        for _, _, seed, paint in sorted(self._waiting):
            # Detail depends on size in pixels, and what it draws by lot must not change the rest of the scene.
            self.rng.seed(seed)
            paint()
        self._waiting.clear()

    def board(self, x: float, z: float, y: float = 0.0) -> "Board":
        """An upright plane at a place, facing the camera."""
        foot = self.at(x, y, z)
        dx, dz = foot[0] - self.camera.position[0], foot[2] - self.camera.position[2]
        length = (dx * dx + dz * dz) ** 0.5 or 1.0
        return Board(self.canvas, foot, (dz / length, 0.0, -dx / length))

    def cast(self, footprint: list[Point], height: float) -> None:
        """The shadow that something with this footprint and height throws on the ground, sun or not."""
        canvas = self.canvas
        canvas.shadow(footprint)
        x, y, z = self.light.sun_direction
        reach = min(height / max(y, 0.15), 40.0)
        tips = [(px - x * reach, 0.0, pz - z * reach) for px, _, pz in footprint]
        canvas.shadow(tips)
        for i in range(len(footprint)):
            j = (i + 1) % len(footprint)
            canvas.shadow([footprint[i], footprint[j], tips[j], tips[i]])


class Board:
    """Draws flat shapes on an upright plane: u to the right, v up, metres from its foot."""

    def __init__(self, canvas: Canvas, foot: Point, right: Point) -> None:
        self.canvas = canvas
        self.foot = foot
        self.right = right
        self._plane = Plane(foot, right, (0.0, 1.0, 0.0))

    def point(self, u: float, v: float) -> Point:
        x, y, z = self.foot
        return x + u * self.right[0], y + v, z + u * self.right[2]

    def polygon(self, outline: list[tuple[float, float]], material: Material) -> None:
        self.canvas.polygon([self.point(u, v) for u, v in outline], self.canvas.surface(material, self._plane))

    def box(self, u: float, v: float, width: float, height: float, material: Material) -> None:
        """A rectangle whose middle at the bottom is (u, v)."""
        half = width / 2
        self.polygon([(u - half, v), (u + half, v), (u + half, v + height), (u - half, v + height)], material)

    def limb(self, start: tuple[float, float], end: tuple[float, float], width: float, material: Material) -> None:
        """A thick line."""
        du, dv = end[0] - start[0], end[1] - start[1]
        length = (du * du + dv * dv) ** 0.5 or 1.0
        a, b = -dv / length * width / 2, du / length * width / 2
        self.polygon(
            [
                (start[0] + a, start[1] + b),
                (end[0] + a, end[1] + b),
                (end[0] - a, end[1] - b),
                (start[0] - a, start[1] - b),
            ],
            material,
        )

    def disc(self, u: float, v: float, radius: float, material: Material, corners: int = 10, turn: float = 0.0) -> None:
        """A regular polygon around (u, v)."""
        angles = [turn + 6.2832 * i / corners for i in range(corners)]
        self.polygon([(u + radius * cos(angle), v + radius * sin(angle)) for angle in angles], material)
