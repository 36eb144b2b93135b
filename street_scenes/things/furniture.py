"""Thin things on the pavement: lamps, traffic lights and signs, bollards; bins and boxes that are not evaluated."""

from street_scenes.drawing.canvas import Color, Material
from street_scenes.stage import Board, Spot, Stage, directions
from street_scenes.town import hsv, paint_color, tinted

STATIC, DYNAMIC, POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN = 4, 5, 17, 19, 20

Layer = tuple[Material, list[Spot]]
"""An outline in half sizes of the sign, around its middle."""


def _round(color: Color, radius: float, corners: int = 12, turn: float = 0.0) -> Layer:
    outline = [(radius * u, radius * v) for u, v in directions(corners, turn)]
    return Material(TRAFFIC_SIGN, color, contrast=0.25), outline


def _bar(color: Color, width: float, height: float, texture: str = "plain") -> Layer:
    u, v = width / 2, height / 2
    material = Material(TRAFFIC_SIGN, color, texture, _WHITE, 0.25, (0.6, 0.6))
    return material, [(-u, -v), (u, -v), (u, v), (-u, v)]


_RED, _BLUE, _YELLOW = hsv(0, 0.85, 190), hsv(0.61, 0.85, 165), hsv(0.13, 0.85, 225)
_WHITE, _BLACK = (228.0, 228.0, 225.0), (35.0, 35.0, 35.0)
_SIGNS = {
    "speed limit": (_round(_RED, 1.0), _round(_WHITE, 0.75), _bar(_BLACK, 0.6, 0.7, "poster")),
    "straight on": (_round(_BLUE, 1.0), _bar(_WHITE, 0.25, 1.0)),
    "warning": (_round(_RED, 1.15, 3, 1.571), _round(_WHITE, 0.7, 3, 1.571)),
    "priority road": (_round(_WHITE, 1.0, 4), _round(_YELLOW, 0.72, 4)),
    "stop": (_round(_RED, 1.0, 8, 0.39), _bar(_WHITE, 1.3, 0.3)),
    "no entry": (_round(_RED, 1.0), _bar(_WHITE, 1.3, 0.3)),
    "parking": (_bar(_BLUE, 1.7, 2.0), _bar(_WHITE, 0.5, 1.0)),
    "towns": (_bar(_YELLOW, 4.0, 0.9), _bar(_BLACK, 3.0, 0.25)),
    "motorway": (_bar(_BLUE, 3.0, 0.9), _bar(_WHITE, 2.2, 0.25)),
}


def _metal(stage: Stage) -> Material:
    rng = stage.rng
    return Material(POLE, tinted(rng, rng.choice((0.3, 0.58)), 0.08, rng.choice((60, 95, 130, 160))), contrast=0.3)


def lamp(stage: Stage, x: float, z: float, toward: int) -> None:
    """A street lamp whose arm reaches over the road, to the right if `toward` is 1, to the left if it is -1."""
    rng = stage.rng
    metal, height, board = _metal(stage), rng.uniform(4.5, 9), stage.board(x, z)
    board.box(0, 0, 0.17, height, metal)
    if rng.random() < 0.7:
        board.limb((0, height), (toward * rng.uniform(1.0, 2.2), height + 0.3), 0.1, metal)
        board.limb((toward * 1.0, height + 0.2), (toward * 1.7, height + 0.2), 0.16, metal)
    else:
        board.disc(0, height, 0.25, Material(POLE, (220, 220, 205)))
    stage.cast(stage.flat(x - 0.1, x + 0.1, z, z + 0.1), height)


def traffic_light(stage: Stage, x: float, z: float, toward: int) -> None:
    """A light on a pole, often with another one over the road; `toward` as for lamps."""
    rng = stage.rng
    metal, height, board = _metal(stage), rng.uniform(2.3, 2.9), stage.board(x, z)
    board.box(0, 0, 0.12, height + 0.2, metal)
    lit = rng.randrange(3)
    _signal(board, 0.0 if rng.random() < 0.5 else toward * 0.25, height, lit if rng.random() < 0.8 else None)
    if rng.random() < 0.45:
        reach, high = toward * rng.uniform(2.5, 5), rng.uniform(4.8, 5.6)
        board.box(0, 0, 0.16, high, metal)
        board.limb((0, high), (reach, high), 0.12, metal)
        _signal(board, reach, high - 0.6, lit)
    if rng.random() < 0.3:
        _plate(stage, board, height + 1.0, 0.32)


def _signal(board: Board, u: float, v: float, lit: int | None) -> None:
    """Green, yellow and red upwards, one of them lit; None shows the back."""
    board.box(u, v, 0.36, 1.0, Material(TRAFFIC_LIGHT, (28, 30, 28)))
    for number, hue in enumerate((0.4, 0.12, 0.0) if lit is not None else ()):
        color, glow = (hsv(hue, 0.85, 245), 1.0) if number == lit else (hsv(hue, 0.6, 55), 0.0)
        board.disc(u, v + 0.2 + 0.3 * number, 0.12, Material(TRAFFIC_LIGHT, color, glow=glow), 8)


def sign(stage: Stage, x: float, z: float) -> None:
    """One or two signs on a pole, now and then seen from behind."""
    rng, board = stage.rng, stage.board(x, z)
    height, size = rng.uniform(2.1, 3.0), rng.uniform(0.3, 0.48)
    board.box(0, 0, 0.09, height + 0.3, _metal(stage))
    if rng.random() < 0.12:
        board.disc(0, height, size, Material(STATIC, (120, 122, 125)))
    else:
        _plate(stage, board, height, size)
        if rng.random() < 0.35:
            _plate(stage, board, height - 2 * size, size * 0.85)


def _plate(stage: Stage, board: Board, middle: float, size: float) -> None:
    for material, outline in stage.rng.choice(list(_SIGNS.values())):
        board.polygon([(size * u, middle + size * v) for u, v in outline], material)


def bollard(stage: Stage, x: float, z: float) -> None:
    board = stage.board(x, z)
    for v, height, color in ((0, 0.78, (125, 125, 122)), (0.78, 0.1, (215, 60, 50)), (0.88, 0.07, (125, 125, 122))):
        board.box(0, v, 0.13, height, Material(POLE, color))


def clutter(stage: Stage, x: float, z: float) -> None:
    """A bin, a switch box, a bench, bags: static or dynamic, not evaluated."""
    rng, board = stage.rng, stage.board(x, z)
    label, width, height = rng.choice((STATIC, STATIC, DYNAMIC)), rng.uniform(0.4, 1.4), rng.uniform(0.5, 1.4)
    board.box(0, 0, width, height, Material(label, paint_color(rng)))
    board.box(0, height, width * 1.05, 0.08, Material(label, (60, 60, 60)))
    stage.cast(stage.flat(x - width / 2, x + width / 2, z, z + 0.5), height)
