"""Cars, vans, trucks, buses, trams: bodies as profiles drawn out across, with glass, wheels and lamps."""

from functools import partial
from math import cos, sin
from typing import NamedTuple

from street_scenes.camera import Point
from street_scenes.canvas import Canvas, Color, Material, Plane
from street_scenes.stage import Stage
from street_scenes.town import hsv, paint, scaled, tinted

CAR, TRUCK, BUS, CARAVAN, TRAILER, TRAIN = 26, 27, 28, 29, 30, 31

CORNERS = ((-1, -1), (-1, 1), (1, 1), (1, -1))
"""Of a footprint, in halves of length and width."""

Profile = tuple[tuple[float, float, float, str], ...]
"""From the rear end's bottom over the roof to the front end's bottom: part of the length (-0.5 .. 0.5), of the height
and of the half width, and what the strip to the next point is made of."""

HATCHBACK: Profile = (
    (-0.5, 0.18, 0.95, "rear"),
    (-0.5, 0.58, 1.0, "glass"),
    (-0.42, 0.94, 0.8, "body"),
    (-0.30, 1.0, 0.78, "body"),
    (0.06, 0.98, 0.78, "glass"),
    (0.25, 0.64, 0.97, "body"),
    (0.47, 0.54, 0.94, "front"),
    (0.5, 0.18, 0.92, "body"),
)
SEDAN: Profile = (
    (-0.5, 0.2, 0.95, "rear"),
    (-0.5, 0.62, 0.97, "body"),
    (-0.33, 0.67, 0.97, "glass"),
    (-0.2, 0.97, 0.76, "body"),
    (0.06, 1.0, 0.76, "glass"),
    (0.23, 0.66, 0.97, "body"),
    (0.47, 0.55, 0.94, "front"),
    (0.5, 0.18, 0.92, "body"),
)
WAGON: Profile = (
    (-0.5, 0.18, 0.95, "rear"),
    (-0.49, 0.58, 1.0, "glass"),
    (-0.45, 0.95, 0.8, "body"),
    (-0.35, 1.0, 0.8, "body"),
    (0.1, 0.98, 0.8, "glass"),
    (0.27, 0.62, 0.97, "body"),
    (0.47, 0.53, 0.94, "front"),
    (0.5, 0.18, 0.92, "body"),
)
VAN: Profile = (
    (-0.5, 0.14, 1.0, "rear"),
    (-0.5, 0.55, 1.0, "glass"),
    (-0.49, 0.96, 0.92, "body"),
    (-0.45, 1.0, 0.9, "body"),
    (0.2, 0.99, 0.9, "glass"),
    (0.38, 0.55, 0.97, "body"),
    (0.48, 0.44, 0.95, "front"),
    (0.5, 0.14, 0.95, "body"),
)
BOX: Profile = (
    (-0.5, 0.11, 1.0, "rear"),
    (-0.5, 0.98, 1.0, "body"),
    (-0.49, 1.0, 0.96, "body"),
    (0.49, 1.0, 0.96, "body"),
    (0.5, 0.9, 0.98, "glass"),
    (0.5, 0.42, 1.0, "front"),
    (0.5, 0.11, 1.0, "body"),
)
CARGO: Profile = (
    (-0.5, 0.22, 1.0, "doors"),
    (-0.5, 1.0, 1.0, "body"),
    (0.5, 1.0, 1.0, "body"),
    (0.5, 0.22, 1.0, "body"),
)


class Body(NamedTuple):
    """One box of a vehicle, `shift` metres ahead of its middle; `band`: side windows, rear, front, low, high."""

    label: int
    profile: Profile
    length: float
    height: float
    width: float
    color: Color
    shift: float = 0.0
    band: tuple[float, float, float, float] | None = None
    texture: str = "plain"
    second: Color = (40, 44, 50)
    wheels: tuple[float, ...] = (-0.31, 0.31)
    wheel_m: float = 0.32


def car(stage: Stage) -> list[Body]:
    rng = stage.rng
    profile, length, height, width, band = rng.choice(
        (
            (HATCHBACK, 4.1, 1.47, 1.78, (-0.40, 0.16, 0.62, 0.93)),
            (HATCHBACK, 4.1, 1.47, 1.78, (-0.40, 0.16, 0.62, 0.93)),
            (SEDAN, 4.7, 1.44, 1.83, (-0.26, 0.14, 0.67, 0.93)),
            (WAGON, 4.7, 1.5, 1.83, (-0.44, 0.18, 0.62, 0.93)),
            (WAGON, 4.5, 1.72, 1.88, (-0.44, 0.18, 0.60, 0.92)),
            (VAN, 5.1, 2.0, 1.95, (-0.1, 0.28, 0.56, 0.88)),
        )
    )
    size = rng.uniform(0.93, 1.06)
    return [Body(CAR, profile, length * size, height * rng.uniform(0.96, 1.04), width, paint(rng), band=band)]


def truck(stage: Stage) -> list[Body]:
    rng = stage.rng
    cargo_m, high = rng.uniform(4.5, 8.5), rng.uniform(2.6, 3.7)
    color = paint(rng)
    texture = rng.choice(("plain", "ribs", "poster", "plain"))
    cargo = Body(
        TRUCK,
        CARGO,
        cargo_m,
        high,
        2.45,
        color,
        -1.2,
        texture=texture,
        second=paint(rng),
        wheels=(-0.32, -0.18),
        wheel_m=0.5,
    )
    cab_color = color if rng.random() < 0.4 else paint(rng)
    cab = Body(
        TRUCK,
        BOX,
        2.1,
        min(high, 2.8),
        2.35,
        cab_color,
        cargo_m / 2 - 0.05,
        (-0.3, 0.35, 0.55, 0.85),
        wheels=(0.05,),
        wheel_m=0.5,
    )
    return [cargo, cab]


def bus(stage: Stage) -> list[Body]:
    rng = stage.rng
    texture, second = ("poster", paint(rng)) if rng.random() < 0.3 else ("plain", (0.0, 0.0, 0.0))
    band = (-0.48, 0.47, 0.42, 0.82)
    return [
        Body(
            BUS, BOX, rng.uniform(9, 13), rng.uniform(2.9, 3.2), 2.5, paint(rng), 0, band, texture, second, wheel_m=0.5
        )
    ]


def train(stage: Stage) -> list[Body]:
    """A tram; its place on the rails and its length tell it from a bus."""
    rng = stage.rng
    color = paint(rng)
    parts = rng.randint(2, 3)
    body = Body(TRAIN, BOX, 9.5, 3.4, 2.4, color, 0, (-0.48, 0.48, 0.42, 0.80), wheels=())
    return [body._replace(shift=(i - (parts - 1) / 2) * 9.7) for i in range(parts)]


def trailer(stage: Stage) -> list[Body]:
    """A caravan or a trailer: not evaluated."""
    rng = stage.rng
    if rng.random() < 0.5:
        return [Body(CARAVAN, CARGO, 5.0, 2.5, 2.2, (225, 222, 212), band=(-0.3, 0.1, 0.55, 0.75), wheels=(0.0,))]
    return [Body(TRAILER, CARGO, 2.5, 1.2, 1.6, paint(rng), texture="ribs", wheels=(0.0,))]


def park(stage: Stage, bodies: list[Body], x: float, z: float, turn: float = 0.0) -> None:
    """Put a vehicle with its middle at (x, z); `turn` is radians from the street's direction, π is oncoming."""
    length = sum(body.length for body in bodies)
    if stage.visible(x, z - length / 2, 1.5) or stage.visible(x, z + length / 2, 1.5):
        stage.later(z + 0.3, partial(_vehicle, stage, bodies, x, z, turn, length))


def _vehicle(stage: Stage, bodies: list[Body], x: float, z: float, turn: float, length: float) -> None:
    angle = stage.heading(z) + turn
    ahead = (sin(angle), cos(angle))
    middle = stage.at(x, 0, z)
    camera = stage.camera.position
    half_length, half_width = length / 2, bodies[0].width / 2
    foot = [
        (
            middle[0] + end * half_length * ahead[0] + w * half_width * ahead[1],
            0.0,
            middle[2] + end * half_length * ahead[1] - w * half_width * ahead[0],
        )
        for end, w in CORNERS
    ]
    if z < 70:
        stage.cast(foot, bodies[0].height)

    def distance(body: Body) -> float:
        return -(
            (middle[0] + body.shift * ahead[0] - camera[0]) ** 2 + (middle[2] + body.shift * ahead[1] - camera[2]) ** 2
        )

    for body in sorted(bodies, key=distance):
        center = (middle[0] + body.shift * ahead[0], 0.0, middle[2] + body.shift * ahead[1])
        _Painter(stage, body, center, ahead).paint(detail=stage.pixels(body.height, z) > 20)


class _Painter:
    def __init__(self, stage: Stage, body: Body, center: Point, ahead: tuple[float, float]) -> None:
        self.stage, self.body, self.center, self.ahead = stage, body, center, ahead
        self.canvas: Canvas = stage.canvas
        dx, dz = stage.camera.position[0] - center[0], stage.camera.position[2] - center[2]
        # Where the camera is, in the vehicle's own length and width.
        self.camera_l = dx * ahead[0] + dz * ahead[1]
        self.camera_w = dx * ahead[1] - dz * ahead[0]
        rng = stage.rng
        sky = stage.light.haze
        tint = scaled(sky, rng.uniform(0.15, 0.5))
        label = body.label
        self.materials = {
            "body": Material(label, body.color, body.texture, body.second, 0.5, (3.0, 2.5)),
            "glass": Material(
                label, tint, "panes" if body.band and body.length > 7 else "plain", scaled(tint, 0.4), 0.35, (6.0, 3.0)
            ),
            "rear": Material(label, body.color, contrast=0.3),
            "front": Material(label, scaled(body.color, 0.9), contrast=0.3),
            "doors": Material(
                label, tinted(rng, 0.1, 0.05, rng.uniform(70, 200)), "ribs", contrast=0.12, tile=(5.0, 5.0)
            ),
        }

    def point(self, ahead_m: float, y: float, w: float) -> Point:
        """Length ahead and width to the right in metres, from the middle of the footprint."""
        x, _, z = self.center
        return x + ahead_m * self.ahead[0] + w * self.ahead[1], y, z + ahead_m * self.ahead[1] - w * self.ahead[0]

    def paint(self, detail: bool) -> None:
        body = self.body
        half = body.width / 2
        right = 1 if self.camera_w > 0 else -1
        under = [self.point(end * body.length * 0.49, 0.0, w * half * 0.95) for end, w in CORNERS]
        self.canvas.shadow(under, contact=True)
        if detail:
            self._wheels(right, behind=True)
        strips = list(zip(body.profile, body.profile[1:], strict=False))
        # Of the two ends, the one away from the camera first; a strip facing away is not drawn at all.
        for (l0, y0, w0, kind), (l1, y1, w1, _) in strips if self.camera_l > 0 else strips[::-1]:
            a, b = (l0 * body.length, y0 * body.height), (l1 * body.length, y1 * body.height)
            # Outward normal of the strip in (length, height): the profile runs clockwise.
            normal_l, normal_y = -(b[1] - a[1]), b[0] - a[0]
            camera_y = self.stage.camera.position[1]
            if normal_l * (self.camera_l - a[0]) + normal_y * (camera_y - a[1]) <= 0:
                continue
            quad = [
                self.point(a[0], a[1], -w0 * half),
                self.point(a[0], a[1], w0 * half),
                self.point(b[0], b[1], w1 * half),
                self.point(b[0], b[1], -w1 * half),
            ]
            self.canvas.face(quad, self.materials[kind])
            if detail and kind in ("rear", "front", "doors"):
                self._lamps(quad, kind)
        if abs(self.camera_w) > half * 0.7:
            self._side(right, detail)

    def _side(self, right: int, detail: bool) -> None:
        body = self.body
        half = body.width / 2 * right
        outline = [self.point(part * body.length, y * body.height, w * half) for part, y, w, _ in body.profile]
        plane = Plane(outline[0], (self.ahead[0], 0.0, self.ahead[1]), (0.0, 1.0, 0.0))
        self.canvas.polygon(outline, self.canvas.surface(self.materials["body"], plane))
        if body.band:
            rear, front, low, high = body.band
            slant = 0.05 if body.length < 7 else 0.0
            top_w = 0.82 if body.length < 7 else 1.0
            quad = [
                self.point(rear * body.length, low * body.height, half),
                self.point((front + slant) * body.length, low * body.height, half),
                self.point((front - slant) * body.length, high * body.height, half * top_w),
                self.point((rear + slant / 2) * body.length, high * body.height, half * top_w),
            ]
            self.canvas.face(quad, self.materials["glass"])
            if detail and body.length < 7:
                middle = (rear + front) / 2
                post = [self.point((middle + d) * body.length, low * body.height, half) for d in (-0.01, 0.01)]
                post += [
                    self.point((middle + d) * body.length, high * body.height, half * top_w) for d in (0.01, -0.01)
                ]
                self.canvas.face(post, self.materials["body"])
        if detail:
            self._wheels(right, behind=False)

    def _wheels(self, right: int, behind: bool) -> None:
        body = self.body
        side = -right if behind else right
        radius = body.wheel_m
        tyre, hub = Material(body.label, (24, 24, 26)), Material(body.label, (130, 130, 132))
        for part in body.wheels:
            middle = part * body.length
            for size, material in ((radius, tyre), (radius * 0.6, hub)):
                if behind and material is hub:
                    continue
                w = side * body.width / 2 * (0.85 if behind else 1.0)
                ring = [self.point(middle + size * cos(0.63 * i), radius + size * sin(0.63 * i), w) for i in range(10)]
                self.canvas.face(ring, material)

    def _lamps(self, quad: list[Point], kind: str) -> None:
        """Lamps, number plate and bumper on an end of the vehicle."""
        label = self.body.label
        front = kind == "front"
        glow = 1.0 if self.stage.light.dim else 0.0
        lamp = Material(label, (235, 235, 220) if front else hsv(0.0, 0.85, 170), glow=glow)
        doors = kind == "doors"
        high, size, bumper = (0.07, 0.04, 0.04) if doors else (0.75, 0.11, 0.22)

        def spot(u0: float, u1: float, v0: float, v1: float) -> list[Point]:
            (ax, ay, az), (bx, by, bz), _, (dx, dy, dz) = quad
            return [
                (
                    ax + u * (bx - ax) + v * (dx - ax),
                    ay + u * (by - ay) + v * (dy - ay),
                    az + u * (bz - az) + v * (dz - az),
                )
                for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1))
            ]

        if front:
            self.canvas.face(spot(0.25, 0.75, 0.15, 0.6), Material(label, (30, 30, 32)))
        self.canvas.face(spot(0.0, 1.0, 0.0, bumper), Material(label, (45, 45, 48)))
        self.canvas.face(spot(0.03, 0.2, high - size, high + size), lamp)
        self.canvas.face(spot(0.8, 0.97, high - size, high + size), lamp)
        low = 0.01 if doors else 0.4
        self.canvas.face(spot(0.36, 0.64, low, low + (0.05 if doors else 0.2)), Material(label, (215, 215, 210)))
