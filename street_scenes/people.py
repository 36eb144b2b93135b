"""Persons on foot, riders, bicycles and motorcycles."""

from functools import partial
from math import cos, sin

from street_scenes.canvas import Color, Material
from street_scenes.stage import Board, Stage
from street_scenes.town import hsv, paint, scaled

PERSON, RIDER, MOTORCYCLE, BICYCLE = 24, 25, 32, 33


def _skin(stage: Stage) -> Color:
    return hsv(0.06, stage.rng.uniform(0.3, 0.55), stage.rng.uniform(80, 210))


def _clothes(stage: Stage, label: int) -> Material:
    return Material(label, paint(stage.rng), "cloth", contrast=0.4, tile=(1.5, 1.5))


def person(stage: Stage, x: float, z: float) -> None:
    if stage.visible(x, z, 0.8):
        stage.later(z, partial(_person, stage, x, z))


def _person(stage: Stage, x: float, z: float) -> None:
    rng = stage.rng
    height = rng.gauss(1.72, 0.09) if rng.random() < 0.88 else rng.uniform(1.0, 1.4)
    board = stage.board(x, z)
    top, trousers = _clothes(stage, PERSON), _clothes(stage, PERSON)
    skin, hair = Material(PERSON, _skin(stage)), Material(PERSON, hsv(0.08, 0.4, rng.uniform(20, 120)))
    stride, lean = rng.uniform(0, 0.16) * height, rng.uniform(-0.02, 0.02) * height
    broad = height * rng.uniform(0.12, 0.155)
    if z < 50:
        stage.cast([stage.at(x - 0.2, 0, z), stage.at(x + 0.2, 0, z), stage.at(x, 0, z + 0.2)], height)
    hip, shoulder = 0.5 * height, 0.82 * height
    if rng.random() < 0.15:
        board.polygon(
            [(-broad, 0.25 * height), (broad, 0.25 * height), (broad * 0.7, hip), (-broad * 0.7, hip)], trousers
        )
        board.box(0, 0, broad, 0.25 * height, skin)
    else:
        for side in (-1, 1):
            board.limb((side * stride, 0), (side * broad * 0.4, hip * 1.05), 0.085 * height, trousers)
            board.box(side * stride + 0.02, 0, 0.1 * height, 0.03 * height, hair)
    arm_pit, neck = shoulder - 0.06 * height, 0.4 * broad
    body = [(-broad * 0.8, hip * 0.93), (broad * 0.8, hip * 0.93), (broad + lean, arm_pit), (neck + lean, shoulder)]
    body += [(-neck + lean, shoulder), (-broad + lean, arm_pit)]
    board.polygon(body, top)
    for side in (-1, 1):
        hand = (side * (broad + rng.uniform(0, 0.08) * height), hip * rng.uniform(0.9, 1.15))
        board.limb((side * broad * 0.82 + lean, shoulder - 0.05 * height), hand, 0.06 * height, top)
    if rng.random() < 0.3:
        board.box(rng.choice((-1, 1)) * broad * 1.1, hip * 0.8, 0.2, 0.35, Material(PERSON, paint(rng)))
    board.limb((lean, shoulder), (lean, 0.88 * height), 0.06 * height, skin)
    board.disc(lean, 0.925 * height, 0.068 * height, hair)
    board.disc(lean + rng.uniform(-0.02, 0.02), 0.912 * height, 0.056 * height, skin)


def cycle(stage: Stage, x: float, z: float, turn: float, *, motor: bool = False, ridden: bool = True) -> None:
    """A bicycle or motorcycle with or without its rider, `turn` radians from the street's direction."""
    if stage.visible(x, z, 1.2):
        stage.later(z, partial(_cycle, stage, x, z, turn, motor, ridden))


def _cycle(stage: Stage, x: float, z: float, turn: float, motor: bool, ridden: bool) -> None:
    rng = stage.rng
    label = MOTORCYCLE if motor else BICYCLE
    angle = stage.heading(z) + turn
    foot = stage.at(x, 0, z)
    side = Board(stage.canvas, foot, (sin(angle), 0.0, cos(angle)))
    color = paint(rng)
    frame, dark = Material(label, color), Material(label, (25, 25, 27))
    radius, base = (0.31, 0.72) if motor else (0.34, 0.53)
    stage.canvas.shadow(
        [
            stage.at(x - 0.25, 0, z - 0.6),
            stage.at(x + 0.25, 0, z - 0.6),
            stage.at(x + 0.25, 0, z + 0.6),
            stage.at(x - 0.25, 0, z + 0.6),
        ]
    )
    facing = stage.board(x, z)
    broadside = abs(side.right[0] * facing.right[0] + side.right[2] * facing.right[2]) > 0.5
    # Seen from its end a wheel is a thin bar; the plane along the frame shows nothing of it.
    facing.box(0, 0, 0.16 if motor else 0.06, 2 * radius, dark)
    for end in (-base, base):
        _wheel(stage, side, end, radius, label, motor)
    if motor:
        side.polygon([(-0.75, 0.55), (-0.2, 0.42), (0.35, 0.35), (0.45, 0.85), (0.1, 0.95), (-0.8, 0.8)], frame)
        side.polygon([(-0.3, 0.25), (0.3, 0.25), (0.3, 0.55), (-0.3, 0.55)], dark)
        side.limb((base, radius), (0.42, 1.05), 0.08, dark)
    if motor and not broadside:
        facing.box(0, 0.45, 0.4, 0.45, frame)
        facing.box(0, 0.95, 0.7, 0.06, dark)
        facing.disc(0, 0.8, 0.09, Material(label, hsv(0, 0.8, 190) if cos(turn) > 0 else (240, 240, 225)))
    if not motor:
        for joint, other in (
            ((-base, radius), (-0.08, 0.3)),
            ((-0.08, 0.3), (-0.2, 0.92)),
            ((-base, radius), (-0.18, 0.8)),
            ((-0.08, 0.32), (0.38, 0.82)),
            ((-0.18, 0.8), (0.38, 0.85)),
            ((base, radius), (0.36, 1.0)),
        ):
            side.limb(joint, other, 0.045, frame)
        side.box(-0.2, 0.9, 0.26, 0.06, dark)
        if not broadside:
            facing.box(0, 0.98, 0.55, 0.04, dark)
    if ridden:
        _rider(stage, side if broadside else None, facing, motor)


def _wheel(stage: Stage, side: Board, middle: float, radius: float, label: int, motor: bool) -> None:
    outline = [(middle + radius * cos(0.57 * i), radius + radius * sin(0.57 * i)) for i in range(11)]
    if motor:
        side.polygon(outline, Material(label, (25, 25, 27)))
        side.disc(middle, radius, radius * 0.5, Material(label, (110, 110, 112)))
        return
    stage.canvas.veil([side.point(u, v) for u, v in outline], label)
    tyre = Material(label, (30, 30, 32))
    for start, end in zip(outline, outline[1:] + outline[:1], strict=True):
        side.limb(start, end, 0.05, tyre)


def _rider(stage: Stage, side: Board | None, facing: Board, motor: bool) -> None:
    """A person like those on foot, but for the seat; `side` is the plane of the frame when it is seen broadside."""
    rng = stage.rng
    top, trousers = _clothes(stage, RIDER), _clothes(stage, RIDER)
    helmet = motor or rng.random() < 0.4
    head = Material(RIDER, paint(rng) if helmet else hsv(0.08, 0.4, rng.uniform(20, 120)))
    face = head._replace(color=scaled(head.color, 0.7)) if motor else Material(RIDER, _skin(stage))
    seat = 0.85 if motor else 0.98
    if side:
        board, broad, hips, u = side, 0.12, -0.18, 0.18
        legs, hands = [((-0.15, seat), (0.12, 0.6)), ((0.12, 0.62), (0.0, 0.2))], [(0.4, 1.02)]
    else:
        board, broad, hips, u = facing, 0.21, 0.0, 0.0
        legs, hands = [((0.12, seat), (0.13, 0.25)), ((-0.12, seat), (-0.13, 0.38))], [(-0.27, 1.02), (0.27, 1.02)]
    for hip, foot in legs:
        board.limb(hip, foot, 0.14, trousers)
    v = seat + 0.5
    body = [(hips - broad, seat - 0.05), (hips + broad, seat - 0.05), (u + broad, v - 0.1), (u + 0.5 * broad, v)]
    board.polygon([*body, (u - 0.5 * broad, v), (u - broad, v - 0.1)], top)
    for hand in hands:
        board.limb((u if side else 0.8 * hand[0], v - 0.05), hand, 0.09, top)
    forward = 0.05 if side else 0.0
    board.disc(u + forward, v + 0.17, 0.125, head)
    board.disc(u + 1.8 * forward, v + 0.14, 0.085, face)
