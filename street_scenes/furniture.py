"""Thin things on the pavement: lamps, traffic lights and signs, bollards; bins and boxes that are not evaluated."""

from functools import partial

from street_scenes.canvas import Color, Material
from street_scenes.stage import Board, Stage
from street_scenes.town import hsv, paint, tinted

STATIC, DYNAMIC, GUARD_RAIL, POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN = 4, 5, 14, 17, 19, 20


def _metal(stage: Stage) -> Material:
    rng = stage.rng
    return Material(
        POLE, tinted(rng, rng.choice((0.3, 0.58)), 0.08, rng.choice((60.0, 95.0, 130.0, 160.0))), contrast=0.3
    )


def lamp(stage: Stage, x: float, z: float, toward: float) -> None:
    """A street lamp whose arm reaches `toward` (signed) over the road."""

    def paint_it() -> None:
        rng = stage.rng
        metal, height = _metal(stage), rng.uniform(4.5, 9)
        board = stage.board(x, z)
        board.box(0, 0, 0.17, height, metal)
        if rng.random() < 0.7:
            board.limb((0, height), (toward * rng.uniform(1.0, 2.2), height + 0.3), 0.1, metal)
            board.limb((toward * 1.0, height + 0.2), (toward * 1.7, height + 0.2), 0.16, metal)
        else:
            board.disc(0, height, 0.25, Material(POLE, (220, 220, 205)))
        stage.cast([stage.at(x - 0.1, 0, z), stage.at(x + 0.1, 0, z)], height)

    stage.later(z, paint_it)


def traffic_light(stage: Stage, x: float, z: float, toward: float) -> None:
    def paint_it() -> None:
        rng = stage.rng
        metal = _metal(stage)
        board = stage.board(x, z)
        height = rng.uniform(2.3, 2.9)
        board.box(0, 0, 0.12, height + 0.2, metal)
        lit = rng.randrange(3)
        _signal(board, 0.0 if rng.random() < 0.5 else toward * 0.25, height, lit, rng.random() < 0.2)
        if rng.random() < 0.45:
            reach, high = toward * rng.uniform(2.5, 5), rng.uniform(4.8, 5.6)
            board.box(0, 0, 0.16, high, metal)
            board.limb((0, high), (reach, high), 0.12, metal)
            _signal(board, reach, high - 0.6, lit, False)
        if rng.random() < 0.3:
            _plate(stage, board, 0.0, height + 1.0, 0.32)

    stage.later(z, paint_it)


def _signal(board: Board, u: float, v: float, lit: int, back: bool) -> None:
    board.box(u, v, 0.36, 1.0, Material(TRAFFIC_LIGHT, (28, 30, 28)))
    if back:
        return
    for place, hue in enumerate((0.4, 0.12, 0.0)):
        color = hsv(hue, 0.85, 245) if place == lit else hsv(hue, 0.6, 55)
        board.disc(u, v + 0.2 + 0.3 * place, 0.12, Material(TRAFFIC_LIGHT, color, glow=1.0 if place == lit else 0.0), 8)


def sign(stage: Stage, x: float, z: float) -> None:
    """One or two signs on a pole, now and then seen from behind."""

    def paint_it() -> None:
        rng = stage.rng
        board = stage.board(x, z)
        height = rng.uniform(2.1, 3.0)
        board.box(0, 0, 0.09, height + 0.3, _metal(stage))
        size = rng.uniform(0.3, 0.48)
        if rng.random() < 0.12:
            board.disc(0, height, size, Material(STATIC, (120, 122, 125)))
            return
        _plate(stage, board, 0, height, size)
        if rng.random() < 0.35:
            _plate(stage, board, 0, height - 2 * size, size * 0.85)

    stage.later(z, paint_it)


def _plate(stage: Stage, board: Board, u: float, v: float, size: float) -> None:
    rng = stage.rng
    red, blue, white, yellow = hsv(0, 0.85, 190), hsv(0.61, 0.85, 165), (228.0, 228.0, 225.0), hsv(0.13, 0.85, 225)

    def plate(color: Color) -> Material:
        return Material(TRAFFIC_SIGN, color, contrast=0.25)

    kind = rng.choice(("limit", "mandatory", "warning", "priority", "stop", "direction", "parking", "none"))
    if kind == "limit":
        board.disc(u, v, size, plate(red), 12)
        board.disc(u, v, size * 0.75, plate(white), 12)
        board.box(
            u,
            v - size * 0.35,
            size * 0.6,
            size * 0.7,
            Material(TRAFFIC_SIGN, (30, 30, 30), "poster", white, tile=(0.6, 0.6)),
        )
    elif kind == "mandatory":
        board.disc(u, v, size, plate(blue), 12)
        board.limb((u, v - size * 0.5), (u, v + size * 0.5), size * 0.25, plate(white))
    elif kind == "warning":
        board.disc(u, v, size * 1.15, plate(red), 3, 1.571)
        board.disc(u, v, size * 0.7, plate(white), 3, 1.571)
    elif kind == "priority":
        board.disc(u, v, size, plate(white), 4)
        board.disc(u, v, size * 0.72, plate(yellow), 4)
    elif kind == "stop":
        board.disc(u, v, size, plate(red), 8, 0.39)
        board.box(u, v - size * 0.15, size * 1.3, size * 0.3, plate(white))
    elif kind == "direction":
        color = rng.choice((blue, yellow, white))
        board.box(u, v - size * 0.4, size * 4, size * 0.9, plate(color))
        board.box(u, v - size * 0.1, size * 3, size * 0.25, plate((40.0, 40.0, 40.0) if color != blue else white))
    elif kind == "parking":
        board.box(u, v - size, size * 1.7, size * 2, plate(blue))
        board.box(u, v - size * 0.5, size * 0.5, size, plate(white))
    else:
        board.disc(u, v, size, plate(red), 12)
        board.box(u, v - size * 0.15, size * 1.3, size * 0.3, plate(white))


def bollards(stage: Stage, x: float, near: float, far: float) -> None:
    metal = _metal(stage)
    z = near
    while z < far:
        stage.later(z, partial(_bollard, stage, x, z, metal))
        z += 2.2


def _bollard(stage: Stage, x: float, z: float, metal: Material) -> None:
    board = stage.board(x, z)
    board.box(0, 0, 0.13, 0.95, metal)
    board.box(0, 0.78, 0.135, 0.08, Material(POLE, (215, 60, 50)))


def clutter(stage: Stage, x: float, z: float) -> None:
    """A bin, a switch box, a bench, bags: static or dynamic, not evaluated."""

    def paint_it() -> None:
        rng = stage.rng
        label = rng.choice((STATIC, STATIC, DYNAMIC))
        color = paint(rng)
        board = stage.board(x, z)
        width, height = rng.uniform(0.4, 1.4), rng.uniform(0.5, 1.4)
        board.box(0, 0, width, height, Material(label, color))
        board.box(0, height, width * 1.05, 0.08, Material(label, (60, 60, 60)))
        stage.cast([stage.at(x - width / 2, 0, z), stage.at(x + width / 2, 0, z), stage.at(x, 0, z + 0.5)], height)

    stage.later(z, paint_it)


def guard_rail(stage: Stage, x: float, near: float, far: float) -> None:
    """Looks like the fences and is not evaluated."""

    def paint_it() -> None:
        steel = Material(GUARD_RAIL, (150, 152, 155), "ribs", contrast=0.3)
        for low in (0.35, 0.6):
            rail = [
                stage.at(x, low, near),
                stage.at(x, low, far),
                stage.at(x, low + 0.18, far),
                stage.at(x, low + 0.18, near),
            ]
            stage.canvas.face(rail, steel)
        z = near
        while z < far:
            stage.board(x, z).box(0, 0, 0.12, 0.75, steel)
            z += 4

    stage.later(far, paint_it)
