"""Houses with windows, shops and roofs; walls, fences and garages that share their looks."""

from functools import partial

from street_scenes.camera import Point
from street_scenes.canvas import Color, Material
from street_scenes.stage import Stage
from street_scenes.town import facade_color, hsv, paint, scaled, tinted

BUILDING, WALL, FENCE, BRIDGE = 11, 12, 13, 15

MASONRY = {"brick": (2.0, 2.0), "plaster": (6.0, 6.0), "stone": (4.0, 4.0), "concrete": (7.0, 7.0)}
"""Textures that buildings, walls and garages share, with their tiles in metres."""


def masonry(stage: Stage, label: int) -> Material:
    """A bare surface: the same for a building without windows and for a wall."""
    rng = stage.rng
    if rng.random() < stage.town.brick_share:
        color = tinted(rng, 0.03, 0.45, rng.uniform(90, 150))
        return Material(label, color, "brick", (150, 145, 135), 0.5, MASONRY["brick"])
    texture = rng.choice(("plaster", "plaster", "stone", "concrete"))
    color = facade_color(rng, stage.town)
    return Material(label, color, texture, scaled(color, 0.6), 0.25, MASONRY[texture])


def _rectangle(stage: Stage, x: float, near: float, far: float, low: float, high: float) -> list[Point]:
    """Upright along the street, near end first."""
    return [stage.at(x, low, near), stage.at(x, low, far), stage.at(x, high, far), stage.at(x, high, near)]


def _across(stage: Stage, x: float, other: float, z: float, low: float, high: float) -> list[Point]:
    """Upright across the street."""
    return [stage.at(x, low, z), stage.at(other, low, z), stage.at(other, high, z), stage.at(x, high, z)]


def house(stage: Stage, x: float, near: float, far: float, height: float, depth: float) -> None:
    """A building whose front stands at x from z = near to far; it reaches `depth` (signed) away from the street."""
    stage.later(far, partial(_house, stage, x, near, far, height, depth))


def _house(stage: Stage, x: float, near: float, far: float, height: float, depth: float) -> None:
    rng, canvas, style = stage.rng, stage.canvas, stage.town
    bare = masonry(stage, BUILDING)
    color: Color = bare.color if bare.texture != "brick" else tinted(rng, 0.03, 0.4, 125)
    texture = rng.choice(style.windows)
    floor = rng.uniform(2.8, 3.7)
    columns = {"windows_punched": 4, "windows_tall": 5, "windows_wide": 3, "windows_bands": 2, "windows_glass": 6}[
        texture
    ]
    rows = 4 if texture in ("windows_wide", "windows_bands", "windows_glass") else 3
    if texture == "windows_glass":
        # Mirrors the sky: the same colours as above the roofs.
        glass, color = scaled(stage.light.haze, rng.uniform(0.55, 1.0)), hsv(0.58, 0.1, rng.uniform(60, 140))
    elif stage.light.dim and rng.random() < 0.5:
        glass = (235.0, 205.0, 130.0)
    else:
        glass = tinted(rng, 0.58, 0.25, rng.uniform(35, 110))
    tile = (columns * rng.uniform(1.5, 2.6), rows * floor)
    front = Material(BUILDING, color, texture, glass, 0.55, tile)
    base = rng.uniform(3.0, 4.2) if rng.random() < 0.6 and height > 7 else rng.uniform(0.3, 0.9)
    side = front if rng.random() < 0.35 else bare
    _roof(stage, x, near, far, height, depth)
    canvas.face(_across(stage, x, x + depth, near, 0, height), side)
    canvas.face(_rectangle(stage, x, near, far, base, height), front)
    if base > 2:
        _ground_floor(stage, x, near, far, base)
    else:
        canvas.face(_rectangle(stage, x, near, far, 0, base), bare._replace(color=scaled(color, 0.7)))
    if rng.random() < 0.5:
        ledge = Material(BUILDING, scaled(color, 1.15), "plain")
        canvas.face(_rectangle(stage, x, near, far, height - 0.5, height), ledge)
    foot = [stage.at(x, 0, near), stage.at(x, 0, far), stage.at(x + depth, 0, far), stage.at(x + depth, 0, near)]
    stage.cast(foot, height)


def _ground_floor(stage: Stage, x: float, near: float, far: float, height: float) -> None:
    """Shops with signs and posters that look like traffic signs, or doors and gates."""
    rng, canvas = stage.rng, stage.canvas
    frame = facade_color(rng, stage.town)
    shop = Material(
        BUILDING, scaled(frame, 0.8), "shop", tinted(rng, 0.1, 0.3, rng.uniform(40, 130)), 0.6, (9.0, height)
    )
    canvas.face(_rectangle(stage, x, near, far, 0, height), shop)
    inward = -0.15 if x > 0 else 0.15
    z = near + rng.uniform(0.5, 3)
    while z < far - 3:
        kind, span = rng.random(), rng.uniform(1.5, 4)
        if kind < 0.3:
            sign = Material(BUILDING, paint(rng), "poster", paint(rng), 0.3, (3.0, 1.0))
            canvas.face(_rectangle(stage, x + inward, z, z + span, height - 0.8, height - 0.1), sign)
        elif kind < 0.45:
            poster = Material(BUILDING, paint(rng), "poster", paint(rng), 0.6, (2.0, 2.0))
            canvas.face(_rectangle(stage, x + inward, z, z + 1.3, 0.8, 2.6), poster)
        elif kind < 0.6:
            board = stage.board(x + 3 * inward, z, 0)
            corners = rng.choice((4, 12, 12))
            board.disc(0, height - 0.4, 0.4, Material(BUILDING, paint(rng)), corners, 0.785)
            board.disc(0, height - 0.4, 0.26, Material(BUILDING, paint(rng)), corners, 0.785)
        elif kind < 0.75:
            color = paint(rng)
            top = [stage.at(x, height - 0.2, z), stage.at(x, height - 0.2, z + span)]
            top += [stage.at(x + 8 * inward, height - 0.8, z + span), stage.at(x + 8 * inward, height - 0.8, z)]
            canvas.face(top, Material(BUILDING, color, "planks", (225, 225, 220), 0.2, (3.0, 3.0)))
        else:
            door = Material(BUILDING, scaled(paint(rng), 0.8), "planks", (30, 25, 20), 0.4, (1.5, 3.0))
            canvas.face(_rectangle(stage, x + inward / 3, z, z + rng.uniform(0.9, 2.6), 0, 2.3), door)
        z += span + rng.uniform(0.5, 5)


def _roof(stage: Stage, x: float, near: float, far: float, height: float, depth: float) -> None:
    rng, canvas = stage.rng, stage.canvas
    if rng.random() < 0.35:
        return
    color = tinted(rng, rng.choice((0.03, 0.05, 0.6)), 0.35, rng.uniform(60, 125))
    roof = Material(BUILDING, color, "tiles", scaled(color, 0.6), 0.5, (4.0, 4.0))
    ridge, rise = x + depth / 2, min(abs(depth) * rng.uniform(0.25, 0.5), 5.0)
    gable = [stage.at(x, height, near), stage.at(x + depth, height, near), stage.at(ridge, height + rise, near)]
    canvas.face(gable, masonry(stage, BUILDING))
    slope = [stage.at(x, height, near), stage.at(x, height, far)]
    slope += [stage.at(ridge, height + rise, far), stage.at(ridge, height + rise, near)]
    canvas.face(slope, roof)
    for _ in range(rng.randrange(3)):
        z = rng.uniform(near, far)
        board = stage.board(ridge, z, height + rise - 0.8)
        board.box(0, 0, 0.8, 1.8, Material(BUILDING, tinted(rng, 0.03, 0.4, 95), "brick", tile=(2.0, 2.0)))


def garage(stage: Stage, x: float, near: float, far: float, depth: float) -> None:
    """As low as a wall and of the same stuff; doors and a roof edge make it a building."""

    def paint_it() -> None:
        rng, canvas = stage.rng, stage.canvas
        height = rng.uniform(2.4, 3.0)
        bare = masonry(stage, BUILDING)
        canvas.face(_across(stage, x, x + depth, near, 0, height), bare)
        canvas.face(_rectangle(stage, x, near, far, 0, height), bare)
        door = Material(BUILDING, scaled(paint(rng), 0.9), "planks", (60, 55, 50), 0.3, (2.0, 2.0))
        z = near + 0.4
        while z + 2.6 < far:
            canvas.face(_rectangle(stage, x, z, z + 2.4, 0, 2.1), door)
            z += 3.0
        roof = Material(BUILDING, (70, 68, 66), "asphalt")
        canvas.face(_rectangle(stage, x, near, far, height, height + 0.3), roof)
        canvas.face(_across(stage, x, x + depth, near, height, height + 0.3), roof)
        foot = [stage.at(x, 0, near), stage.at(x, 0, far), stage.at(x + depth, 0, far), stage.at(x + depth, 0, near)]
        stage.cast(foot, height)

    stage.later(far, paint_it)


def wall(stage: Stage, x: float, near: float, far: float, thick: float) -> None:
    """A free-standing wall; only its top and what is behind it tell it from a building."""

    def paint_it() -> None:
        rng, canvas = stage.rng, stage.canvas
        height = rng.uniform(1.4, 3.2)
        bare = masonry(stage, WALL)
        top = bare._replace(color=scaled(bare.color, 1.1), texture="concrete", tile=(3.0, 3.0))
        edge = [stage.at(x, height, near), stage.at(x, height, far)]
        edge += [stage.at(x + thick, height, far), stage.at(x + thick, height, near)]
        canvas.face(edge, top)
        canvas.face(_across(stage, x, x + thick, near, 0, height), bare)
        canvas.face(_rectangle(stage, x, near, far, 0, height), bare)
        if rng.random() < 0.3:
            graffiti = bare._replace(texture="poster", second=paint(rng), tile=(3.0, 2.0))
            z = rng.uniform(near, max(near, far - 4))
            canvas.face(_rectangle(stage, x, z, min(far, z + 4), 0.3, min(height, 1.8)), graffiti)
        stage.cast([stage.at(x, 0, near), stage.at(x, 0, far), stage.at(x + thick, 0, far)], height)

    stage.later(far, paint_it)


def fence(stage: Stage, x: float, near: float, far: float) -> None:
    """Planks like a garage door, or bars that let the background through."""

    def paint_it() -> None:
        rng, canvas = stage.rng, stage.canvas
        height = rng.uniform(1.0, 2.2)
        if rng.random() < 0.4:
            color = tinted(rng, 0.07, 0.4, rng.uniform(70, 150)) if rng.random() < 0.6 else scaled(paint(rng), 0.9)
            planks = Material(FENCE, color, "planks", scaled(color, 0.4), 0.5, (1.2, 2.5))
            canvas.face(_rectangle(stage, x, near, far, 0, height), planks)
            return
        metal = Material(FENCE, tinted(rng, 0.4, 0.2, rng.uniform(35, 130)))
        canvas.veil(_rectangle(stage, x, near, far, 0.05, height), FENCE)
        for rail in (0.08, height - 0.06):
            canvas.face(_rectangle(stage, x, near, far, rail, rail + 0.05), metal)
        step = rng.choice((0.15, 0.15, 2.5))
        z = near
        while z < far:
            close = stage.pixels(step, z) * abs(x) / max(z, 1) > 2
            if close:
                stage.board(x, z).box(0, 0, 0.03 if step < 1 else 0.07, height, metal)
            z += step if close else max(step, z * z / 150)

    stage.later(far, paint_it)


def bridge(stage: Stage, z: float, left: float, right: float) -> None:
    """A bridge over the street (its class is not evaluated)."""

    def paint_it() -> None:
        bare = masonry(stage, BRIDGE)
        low = stage.rng.uniform(4.8, 6.0)
        stage.canvas.face(_across(stage, left - 25, right + 25, z + 6, low, low + 0.1), bare)
        under = [stage.at(left - 25, low, z), stage.at(right + 25, low, z)]
        under += [stage.at(right + 25, low, z + 9), stage.at(left - 25, low, z + 9)]
        stage.canvas.face(under, bare._replace(color=scaled(bare.color, 0.45)))
        stage.canvas.face(_across(stage, left - 25, right + 25, z, low, low + 1.6), bare)
        for x in (left, right):
            stage.canvas.face(_across(stage, x - 0.6, x + 0.6, z, 0, low), bare)
        foot = [stage.at(left - 25, 0, z), stage.at(right + 25, 0, z)]
        foot += [stage.at(right + 25, 0, z + 9), stage.at(left - 25, 0, z + 9)]
        stage.cast(foot, low)

    stage.later(z, paint_it)
