"""Houses with windows, shops and roofs; walls, fences and garages that share their looks."""

from street_scenes.drawing.canvas import Material
from street_scenes.drawing.textures import WINDOWS
from street_scenes.stage import Stage
from street_scenes.town import facade_color, hsv, paint_color, scaled, tinted

BUILDING, WALL, FENCE = 11, 12, 13

_PLASTERS = {"plaster": 6.0, "stone": 4.0, "concrete": 7.0}
"""Textures that buildings, walls and garages share, with the sides of their tiles in metres."""

_SHOP_FRONT = (
    (30, "poster", (1.5, 4.0), (-0.8, -0.1)),
    (15, "poster", (1.3, 1.3), (0.8, 2.6)),
    (40, "planks", (0.9, 2.6), (0.0, 2.3)),
    (15, "", (1.0, 1.0), (-0.8, 0.0)),
)
"""Shop signs, posters, doors, and round or square signs: weight, texture, widths, and from where to where they reach,
measured from the top if negative; all in metres."""


def _masonry(stage: Stage, label: int) -> Material:
    """A bare surface: the same for a building without windows and for a wall."""
    rng = stage.rng
    if rng.random() < stage.town.brick_share:
        return Material(label, tinted(rng, 0.03, 0.45, rng.uniform(90, 150)), "brick", (150, 145, 135), 0.5, (2.0, 2.0))
    texture, tile_m = rng.choice(list(_PLASTERS.items()))
    color = facade_color(rng, stage.town)
    return Material(label, color, texture, scaled(color, 0.6), 0.25, (tile_m, tile_m))


def house(stage: Stage, x: float, near: float, far: float, height: float, depth: float) -> None:
    """A building whose front is at x from z = near to far; it reaches `depth` (signed) away from the street."""
    rng, canvas = stage.rng, stage.canvas
    bare = _masonry(stage, BUILDING)
    color, texture = bare.color, rng.choice(stage.town.windows)
    if texture == "windows_glass":
        # Mirrors the sky: the same colours as above the roofs.
        glass, color = scaled(stage.light.haze, rng.uniform(0.55, 1.0)), hsv(0.58, 0.1, rng.uniform(60, 140))
    elif stage.light.is_dusk and rng.random() < 0.5:
        glass = (235.0, 205.0, 130.0)
    else:
        glass = tinted(rng, 0.58, 0.25, rng.uniform(35, 110))
    windows = WINDOWS[texture]
    tile = (windows.columns * rng.uniform(1.5, 2.6), windows.rows * rng.uniform(2.8, 3.7))
    front = Material(BUILDING, color, texture, glass, 0.55, tile)
    if rng.random() < 0.65:
        _roof(stage, x, near, far, height, depth)
    stage.box(x, depth, near, far, height, front, front if rng.random() < 0.35 else bare)
    if rng.random() < 0.6 and height > 7:
        _shops(stage, x, near, far, rng.uniform(3.0, 4.2))
    else:
        dark = bare._replace(color=scaled(color, 0.7))
        canvas.polygon(stage.along(x, near, far, 0, rng.uniform(0.3, 0.9)), dark)
    if rng.random() < 0.5:
        canvas.polygon(stage.along(x, near, far, height - 0.5, height), Material(BUILDING, scaled(color, 1.15)))


def _roof(stage: Stage, x: float, near: float, far: float, height: float, depth: float) -> None:
    rng = stage.rng
    color = tinted(rng, rng.choice((0.03, 0.05, 0.6)), 0.35, rng.uniform(60, 125))
    ridge, top = x + depth / 2, height + min(abs(depth) * rng.uniform(0.25, 0.5), 5.0)
    tiles, gable = Material(BUILDING, color, "tiles", scaled(color, 0.6), 0.5, (4.0, 4.0)), _masonry(stage, BUILDING)
    eaves, edge = stage.flat(x, x + depth, near, far, height), stage.flat(ridge, ridge, near, far, top)
    stage.block(eaves, edge, (tiles, gable, tiles, gable), None)
    chimney = Material(BUILDING, tinted(rng, 0.03, 0.4, 95), "brick", tile=(2.0, 2.0))
    for _ in range(rng.randrange(3)):
        stage.board(ridge, rng.uniform(near, far), top - 0.8).box(0, 0, 0.8, 1.8, chimney)


def _shops(stage: Stage, x: float, near: float, far: float, height: float) -> None:
    """A ground floor with shop windows, doors, and signs and posters that look like traffic signs."""
    rng = stage.rng
    frame = scaled(facade_color(rng, stage.town), 0.8)
    shop = Material(BUILDING, frame, "shop", tinted(rng, 0.1, 0.3, rng.uniform(40, 130)), 0.6, (9.0, height))
    stage.canvas.polygon(stage.along(x, near, far, 0, height), shop)
    out = -0.15 if x > 0 else 0.15
    z = near + rng.uniform(0.5, 3)
    while z < far - 3:
        _, texture, widths_m, (low, high) = rng.choices(_SHOP_FRONT, [weight for weight, *_ in _SHOP_FRONT])[0]
        width_m, top = rng.uniform(*widths_m), height if low < 0 else 0.0
        if texture:
            second = paint_color(rng) if texture == "poster" else (30.0, 25.0, 20.0)
            look = Material(BUILDING, paint_color(rng), texture, second, 0.4, (2.0, 2.0))
            stage.canvas.polygon(stage.along(x + out, z, z + width_m, top + low, top + high), look)
        else:
            board, corners = stage.board(x + 3 * out, z), rng.choice((4, 12, 12))
            for radius in (0.4, 0.26):
                board.disc(0, top - 0.4, radius, Material(BUILDING, paint_color(rng)), corners)
        z += width_m + rng.uniform(0.5, 5)


def garage(stage: Stage, x: float, near: float, far: float, depth: float) -> None:
    """As low as a wall and of the same stuff; doors and a roof edge make it a building."""
    rng, canvas = stage.rng, stage.canvas
    height, bare = rng.uniform(2.4, 3.0), _masonry(stage, BUILDING)
    stage.box(x, depth, near, far, height, bare, bare)
    door = Material(BUILDING, scaled(paint_color(rng), 0.9), "planks", (60, 55, 50), 0.3, (2.0, 2.0))
    z = near + 0.4
    while z + 2.6 < far:
        canvas.polygon(stage.along(x, z, z + 2.4, 0, 2.1), door)
        z += 3.0
    roof = Material(BUILDING, (70, 68, 66), "asphalt")
    canvas.polygon(stage.along(x, near, far, height, height + 0.3), roof)
    canvas.polygon(stage.across(x, x + depth, near, height, height + 0.3), roof)


def wall(stage: Stage, x: float, near: float, far: float, depth: float) -> None:
    """A free-standing wall, sometimes with graffiti; only its top and what is behind it tell it from a building."""
    rng = stage.rng
    height, bare = rng.uniform(1.4, 3.2), _masonry(stage, WALL)
    coping = bare._replace(color=scaled(bare.color, 1.1), texture="concrete", tile=(3.0, 3.0))
    stage.box(x, depth, near, far, height, bare, bare, coping)
    if rng.random() < 0.3:
        graffiti = bare._replace(texture="poster", second=paint_color(rng), tile=(3.0, 2.0))
        z = rng.uniform(near, max(near, far - 4))
        stage.canvas.polygon(stage.along(x, z, min(far, z + 4), 0.3, min(height - 0.1, 1.8)), graffiti)
    stage.canvas.polygon(stage.along(x, near, far, height - 0.1, height), coping)


def fence(stage: Stage, x: float, near: float, far: float) -> None:
    """Planks like a garage door, or bars that let the background through."""
    rng, canvas, height = stage.rng, stage.canvas, stage.rng.uniform(1.0, 2.2)
    if rng.random() < 0.4:
        color = tinted(rng, 0.07, 0.4, rng.uniform(70, 150)) if rng.random() < 0.6 else scaled(paint_color(rng), 0.9)
        planks = Material(FENCE, color, "planks", scaled(color, 0.4), 0.5, (1.2, 2.5))
        canvas.polygon(stage.along(x, near, far, 0, height), planks)
        return
    metal = Material(FENCE, tinted(rng, 0.4, 0.2, rng.uniform(35, 130)))
    canvas.veil(stage.along(x, near, far, 0.05, height), FENCE)
    for rail in (0.08, height - 0.06):
        canvas.polygon(stage.along(x, near, far, rail, rail + 0.05), metal)
    step, width = rng.choice(((0.15, 0.03), (0.15, 0.03), (2.5, 0.07)))
    z = near
    # Bars that would stand closer than two pixels are left out.
    while z < far and stage.pixels(step, z) * abs(x) / max(z, 1) > 2:
        stage.board(x, z).box(0, 0, width, height, metal)
        z += step
