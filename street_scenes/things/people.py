"""Persons on foot, riders, bicycles and motorcycles."""

from math import cos, sin

from street_scenes.drawing.canvas import Material
from street_scenes.stage import Board, Spot, Stage, directions
from street_scenes.town import hsv, paint_color, scaled

PERSON, RIDER, MOTORCYCLE, BICYCLE = 24, 25, 32, 33

Limb = tuple[Spot, Spot]

_BICYCLE_FRAME: tuple[Limb, ...] = (
    ((-0.53, 0.34), (-0.08, 0.3)),
    ((-0.08, 0.3), (-0.2, 0.92)),
    ((-0.53, 0.34), (-0.18, 0.8)),
    ((-0.08, 0.32), (0.38, 0.82)),
    ((-0.18, 0.8), (0.38, 0.85)),
    ((0.53, 0.34), (0.36, 1.0)),
)


def _figure(
    stage: Stage, board: Board, label: int, torso: Limb, half: float, legs: list[Limb], arms: list[Limb], helmet: float
) -> None:
    """A person in clothes of any colours, lengths in metres; `torso` reaches from between the hips to between the
    shoulders, which are `half` wide to either side; `helmet` is the chance of one instead of hair."""
    rng, ((hip_u, low), (u, high)) = stage.rng, torso
    shirt, trousers = (Material(label, paint_color(rng), "cloth", contrast=0.4, tile=(1.5, 1.5)) for _ in range(2))
    skin = Material(label, hsv(0.06, rng.uniform(0.3, 0.55), rng.uniform(80, 210)))
    hair = Material(label, paint_color(rng) if rng.random() < helmet else hsv(0.08, 0.4, rng.uniform(20, 120)))
    for start, end in legs:
        board.limb(start, end, 0.14, trousers)
    outline = [(hip_u - 0.8 * half, low), (hip_u + 0.8 * half, low), (u + half, high - 0.1), (u + 0.45 * half, high)]
    board.polygon([*outline, (u - 0.45 * half, high), (u - half, high - 0.1)], shirt)
    for start, end in arms:
        board.limb(start, end, 0.1, shirt)
    board.box(u, high, 0.1, 0.1, skin)
    forward = 0.3 * (u - hip_u)
    board.disc(u + 0.5 * forward, high + 0.18, 0.12, hair)
    # A motorcyclist's helmet hides the face.
    face = hair._replace(color=scaled(hair.color, 0.7)) if helmet == 1 else skin
    board.disc(u + forward, high + 0.155, 0.095, face)


def person(stage: Stage, x: float, z: float) -> None:
    """A person on foot, now and then a child, sometimes with a bag."""
    if not stage.shows(x, z, 0.8):
        return
    rng, board = stage.rng, stage.board(x, z)
    height = rng.gauss(1.72, 0.09) if rng.random() < 0.88 else rng.uniform(1.0, 1.4)
    stride, lean, half = rng.uniform(0, 0.25), rng.uniform(-0.03, 0.03), height * rng.uniform(0.12, 0.155)
    if z < 50:
        stage.cast(stage.flat(x - 0.2, x + 0.2, z, z + 0.2), height)
    hip, shoulder = 0.5 * height, 0.82 * height
    legs, arms = [], []
    for side in (-1, 1):
        legs.append(((side * stride, 0.0), (side * half * 0.4, hip * 1.05)))
        hand = (side * (half + rng.uniform(0, 0.14)), hip * rng.uniform(0.9, 1.15))
        arms.append(((side * half * 0.82 + lean, shoulder - 0.09), hand))
    _figure(stage, board, PERSON, ((0, hip * 0.93), (lean, shoulder)), half, legs, arms, helmet=0)
    if rng.random() < 0.3:
        board.box(rng.choice((-1, 1)) * half * 1.1, hip * 0.8, 0.2, 0.35, Material(PERSON, paint_color(rng)))


def cycle(stage: Stage, x: float, z: float, turn: float, *, motor: bool = False, ridden: bool = True) -> None:
    """A bicycle or motorcycle with or without its rider, `turn` radians from the street's direction."""
    if not stage.shows(x, z, 1.2):
        return
    label, angle = MOTORCYCLE if motor else BICYCLE, stage.heading(z) + turn
    side, facing = Board(stage.canvas, stage.at(x, 0, z), (sin(angle), 0.0, cos(angle))), stage.board(x, z)
    is_broadside = abs(side.right[0] * facing.right[0] + side.right[2] * facing.right[2]) > 0.5
    frame, dark = Material(label, paint_color(stage.rng)), Material(label, (27, 27, 29))
    radius, base, tyre_m = (0.31, 0.72, 0.16) if motor else (0.34, 0.53, 0.06)
    stage.canvas.shadow(stage.flat(x - 0.25, x + 0.25, z - 0.6, z + 0.6))
    # From ahead or behind a wheel is a thin bar; the plane along the frame shows nothing of it.
    facing.box(0, 0, tyre_m, 2 * radius, dark)
    for middle in (-base, base):
        rim = [(middle + radius * du, radius + radius * dv) for du, dv in directions(11)]
        if motor:
            side.polygon(rim, dark)
            side.disc(middle, radius, radius * 0.5, Material(label, (110, 110, 112)))
        else:
            # What is seen through the spokes is labelled as bicycle.
            side.canvas.veil(side.points(rim), label)
            for start, end in zip(rim, rim[1:] + rim[:1], strict=True):
                side.limb(start, end, 0.05, dark)
    if motor:
        side.polygon([(-0.75, 0.55), (-0.2, 0.42), (0.35, 0.35), (0.45, 0.85), (0.1, 0.95), (-0.8, 0.8)], frame)
        side.box(0, 0.25, 0.6, 0.3, dark)
        side.limb((base, radius), (0.42, 1.05), 0.08, dark)
    else:
        for start, end in _BICYCLE_FRAME:
            side.limb(start, end, 0.045, frame)
        side.box(-0.2, 0.9, 0.26, 0.06, dark)
    if not is_broadside:
        facing.box(0, 0.96, 0.6, 0.05, dark)
        if motor:
            facing.box(0, 0.45, 0.4, 0.45, frame)
            facing.disc(0, 0.8, 0.09, Material(label, hsv(0, 0.8, 190) if cos(turn) > 0 else (240, 240, 225)))
    if not ridden:
        return
    # A rider is a person like those on foot, but for the seat.
    seat, helmet = (0.85, 1.0) if motor else (0.98, 0.4)
    low, high = seat - 0.05, seat + 0.5
    if is_broadside:
        legs, arms = [((-0.15, seat), (0.12, 0.6)), ((0.12, 0.62), (0.0, 0.2))], [((0.18, high - 0.05), (0.4, 1.02))]
        _figure(stage, side, RIDER, ((-0.18, low), (0.18, high)), 0.13, legs, arms, helmet)
    else:
        legs = [((0.12, seat), (0.13, 0.25)), ((-0.12, seat), (-0.13, 0.38))]
        arms = [((0.21 * right, high - 0.05), (0.27 * right, 1.02)) for right in (-1, 1)]
        _figure(stage, facing, RIDER, ((0, low), (0, high)), 0.22, legs, arms, helmet)
