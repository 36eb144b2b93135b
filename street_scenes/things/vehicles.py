"""Cars, trucks, buses, trams: bodies of a few blocks, with glass, wheels and lamps."""

from math import cos, dist, sin
from random import Random
from typing import NamedTuple

from street_scenes.drawing.camera import Point
from street_scenes.drawing.canvas import CONTACT, Color, Material
from street_scenes.stage import Spot, Stage, directions
from street_scenes.town import hsv, paint_color, scaled

CAR, TRUCK, BUS, TRAIN = 26, 27, 28, 31


class _Part(NamedTuple):
    """A block of a body: from where to where it reaches, as parts of the length from the middle and of the height.

    Its top is set in by parts of the length at the rear and front, and by a part of the half width at the sides.
    """

    look: str
    rear: float
    front: float
    low: float
    high: float
    rear_inset: float = 0.0
    front_inset: float = 0.0
    side_inset: float = 0.0


_HATCHBACK = _Part("paint", -0.5, 0.5, 0.18, 0.6, 0, 0.03, 0.02), _Part("glass", -0.49, 0.27, 0.6, 1, 0.09, 0.19, 0.18)
_SEDAN = _Part("paint", -0.5, 0.5, 0.18, 0.64, 0.01, 0.03, 0.02), _Part("glass", -0.34, 0.24, 0.64, 1, 0.13, 0.18, 0.2)
_VAN = _Part("paint", -0.5, 0.5, 0.16, 0.55, 0, 0.04, 0.02), _Part("glass", -0.5, 0.4, 0.55, 1, 0.02, 0.18, 0.1)
_COACH = (
    _Part("paint", -0.5, 0.5, 0.11, 0.42),
    _Part("glass", -0.5, 0.5, 0.42, 0.82),
    _Part("paint", -0.5, 0.5, 0.82, 1),
)
_CARGO = (_Part("load", -0.5, 0.5, 0.22, 1),)


class Body(NamedTuple):
    """One stiff part of a vehicle, its middle `ahead` metres before the vehicle's; `axles` are parts of the length."""

    label: int
    parts: tuple[_Part, ...]
    length_m: float
    height_m: float
    width_m: float
    color: Color
    texture: str = "plain"
    second: Color = (40, 44, 50)
    ahead: float = 0.0
    axles: tuple[float, ...] = (-0.31, 0.31)
    wheel_m: float = 0.32


_CARS = (
    (_HATCHBACK, 4.1, 1.47, 1.78),
    (_HATCHBACK, 4.1, 1.47, 1.78),
    (_HATCHBACK, 4.7, 1.50, 1.83),
    (_HATCHBACK, 4.5, 1.72, 1.88),
    (_SEDAN, 4.7, 1.44, 1.83),
    (_VAN, 5.1, 2.00, 1.95),
)
"""Small cars, an estate, an off-roader, a sedan, a van: parts, length, height, width in metres."""


def car(rng: Random) -> list[Body]:
    parts, length, height, width = rng.choice(_CARS)
    size = rng.uniform(0.95, 1.05)
    return [Body(CAR, parts, length * size, height * size, width, paint_color(rng))]


def truck(rng: Random) -> list[Body]:
    length, height, texture = rng.uniform(4.5, 8.5), rng.uniform(2.6, 3.7), rng.choice(("plain", "ribs", "poster"))
    load = Body(
        TRUCK, _CARGO, length, height, 2.45, paint_color(rng), texture, paint_color(rng), -1.2, (-0.32, -0.18), 0.5
    )
    cab = Body(TRUCK, _COACH, 2.1, min(height, 2.8), 2.35, paint_color(rng), ahead=length / 2 - 0.05, axles=(0.05,))
    return [load, cab._replace(wheel_m=0.5)]


def bus(rng: Random) -> list[Body]:
    length, height, texture = rng.uniform(9, 13), rng.uniform(2.9, 3.2), rng.choice(("plain", "plain", "poster"))
    return [Body(BUS, _COACH, length, height, 2.5, paint_color(rng), texture, paint_color(rng), wheel_m=0.5)]


def tram(rng: Random) -> list[Body]:
    """Labelled as a train; its place on the rails and its length tell it from a bus."""
    count = rng.randint(2, 3)
    body = Body(TRAIN, _COACH, 9.5, 3.4, 2.4, paint_color(rng), axles=())
    return [body._replace(ahead=(i - (count - 1) / 2) * 9.7) for i in range(count)]


def vehicle(stage: Stage, x: float, z: float, bodies: list[Body], turn: float) -> None:
    """A vehicle with its middle at (x, z); `turn` is radians from the street's direction, π is oncoming."""
    half_m = sum(body.length_m for body in bodies) / 2
    if not (stage.shows(x, z - half_m, 1.5) or stage.shows(x, z + half_m, 1.5)):
        return
    angle = stage.heading(z) + turn
    middle = _Frame(stage.at(x, 0, z), (sin(angle), cos(angle)))
    if z < 70:
        stage.cast(middle.rectangle(-half_m, half_m, 0, bodies[0].width_m / 2), bodies[0].height_m)
    frames = [(_Frame(middle.at(body.ahead, 0, 0), middle.ahead), body) for body in bodies]
    for frame, body in sorted(frames, key=lambda pair: -dist(pair[0].center, stage.camera.position)):
        _paint_body(stage, frame, body, is_detailed=stage.pixels(body.height_m, z) > 20)


class _Frame(NamedTuple):
    """Coordinates of a body: metres ahead of its middle on the ground, up, and to the right."""

    center: Point
    ahead: Spot

    def at(self, forward: float, y: float, right: float) -> Point:
        (x, _, z), (ahead_x, ahead_z) = self
        return x + forward * ahead_x + right * ahead_z, y, z + forward * ahead_z - right * ahead_x

    def rectangle(self, rear: float, front: float, y: float, half: float) -> list[Point]:
        """A level rectangle: the first side is the rear, the third one the front."""
        return [self.at(rear, y, -half), self.at(rear, y, half), self.at(front, y, half), self.at(front, y, -half)]


def _paint_body(stage: Stage, frame: _Frame, body: Body, is_detailed: bool) -> None:
    length, height, half = body.length_m, body.height_m, body.width_m / 2
    tint, plain = scaled(stage.light.haze, stage.rng.uniform(0.15, 0.5)), Material(body.label, body.color, contrast=0.3)
    paint = plain._replace(texture=body.texture, second=body.second, tile=(3.0, 2.5))
    glass = Material(body.label, tint, contrast=0.35)
    panes = glass._replace(texture="panes", second=body.color, tile=(4.2, 3.0))
    doors = plain._replace(color=(150, 148, 142), texture="ribs", second=(130, 128, 122), tile=(5.0, 5.0))
    sides = {"paint": (plain, paint), "glass": (glass, panes), "load": (plain, paint)}
    stage.canvas.shadow(frame.rectangle(-0.49 * length, 0.49 * length, 0, 0.95 * half), CONTACT)
    eye_x, eye_z = stage.camera.position[0] - frame.center[0], stage.camera.position[2] - frame.center[2]
    eye_right = eye_x * frame.ahead[1] - eye_z * frame.ahead[0]
    side = half if eye_right > 0 else -half
    if is_detailed:
        _wheels(stage, frame, body, -0.85 * side, is_near=False)
    for part in body.parts:
        low, high = part.low * height, part.high * height
        bottom = frame.rectangle(part.rear * length, part.front * length, low, half)
        rear, front = part.rear + part.rear_inset, part.front - part.front_inset
        top = frame.rectangle(rear * length, front * length, high, half * (1 - part.side_inset))
        end, side_look = sides[part.look]
        stage.block(bottom, top, (doors if part.look == "load" else end, side_look, end, side_look), plain)
        if is_detailed and part is body.parts[0]:
            for corners, is_front in ((bottom[:2] + top[:2], False), (bottom[2:] + top[2:], True)):
                if dist(corners[0], stage.camera.position) < dist(frame.at(0, low, 0), stage.camera.position):
                    _lamps(stage, body.label, corners, is_front, 1.0 if part.look == "paint" else 0.25)
    if is_detailed and abs(eye_right) > half:
        _wheels(stage, frame, body, side, is_near=True)


def _wheels(stage: Stage, frame: _Frame, body: Body, right: float, is_near: bool) -> None:
    """Wheels `right` metres from the middle, with hubs on the near side."""
    for axle in body.axles:
        for radius, gray in ((body.wheel_m, 25), (body.wheel_m * 0.6, 130))[: 2 if is_near else 1]:
            rim = [(axle * body.length_m + radius * u, body.wheel_m + radius * v) for u, v in directions(10)]
            material = Material(body.label, (gray, gray, gray))
            stage.canvas.polygon([frame.at(forward, y, right) for forward, y in rim], material)


def _lamps(stage: Stage, label: int, corners: list[Point], is_front: bool, scale: float) -> None:
    """Bumper, lamps and number plate on an end with these lower and upper corners."""
    (x, y, z), (right_x, _, right_z), (up_x, up_y, up_z), _ = corners
    lamp = Material(label, (235, 235, 220) if is_front else hsv(0.0, 0.85, 170), glow=float(stage.light.is_dusk))
    grille, bumper, plate = (Material(label, (gray, gray, gray)) for gray in (30, 45, 213))
    patches = [(0.0, 1.0, 0.0, 0.22, bumper), (0.03, 0.2, 0.64, 0.86, lamp), (0.8, 0.97, 0.64, 0.86, lamp)]
    patches += [(0.25, 0.75, 0.3, 0.85, grille)] if is_front else []
    for left, end, low, high, material in [*patches, (0.36, 0.64, 0.3, 0.5, plate)]:
        points = []
        for u, v in ((left, low * scale), (end, low * scale), (end, high * scale), (left, high * scale)):
            across = x + u * (right_x - x) + v * (up_x - x), z + u * (right_z - z) + v * (up_z - z)
            points.append((across[0], y + v * (up_y - y), across[1]))
        stage.canvas.polygon(points, material)
