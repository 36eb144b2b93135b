"""Vegetation: trees, bushes, hedges. Trunks count as vegetation, as Cityscapes has it."""

from street_scenes.drawing.canvas import Color, Material
from street_scenes.stage import Board, Stage, directions
from street_scenes.town import leaf_color, scaled, tinted

VEGETATION = 21


def _leaves(color: Color, contrast: float = 1.3) -> Material:
    return Material(VEGETATION, color, "foliage", scaled(color, 0.35), contrast, (3.0, 3.0))


def _clump(stage: Stage, board: Board, u: float, v: float, radius: float, color: Color) -> None:
    """A ragged patch of leaves."""
    size_px = stage.pixels(radius, board.foot[2])
    corners = directions(16 if size_px > 25 else 9 if size_px > 8 else 6)
    reaches = [radius * (0.78 + 0.34 * stage.rng.random()) for _ in corners]
    outline = [(u + reach * du, v + 0.85 * reach * dv) for reach, (du, dv) in zip(reaches, corners, strict=True)]
    board.polygon(outline, _leaves(color))


def tree(stage: Stage, x: float, z: float, height: float) -> None:
    """A broad-leaved tree, sometimes a conifer."""
    if not stage.shows(x, z, height / 2):
        return
    rng, board, color = stage.rng, stage.board(x, z), leaf_color(stage.rng, stage.town)
    bark = Material(VEGETATION, tinted(rng, 0.07, 0.25, rng.uniform(50, 95)), "planks", (35, 30, 25), 0.8, (1.0, 3.0))
    width = height * rng.uniform(0.25, 0.42)
    if z < 60:
        stage.cast(stage.flat(x - 0.25, x + 0.25, z, z + 0.3), height * 0.4)
        (sun_x, sun_y, sun_z), (foot_x, _, _) = stage.light.sun_direction, board.foot
        reach = height * 0.7 / max(sun_y, 0.15)
        crown = [(width * du * rng.uniform(0.7, 1.1), width * dv) for du, dv in directions(9)]
        stage.canvas.shadow([(foot_x - sun_x * reach + dx, 0.0, z - sun_z * reach + dz) for dx, dz in crown])
    if rng.random() < 0.12:
        board.box(0, 0, height * 0.03, height * 0.2, bark)
        for level in range(5):
            v, half = height * (0.12 + 0.17 * level), width * (1 - level / 5.5) * 0.8
            board.polygon([(-half, v), (half, v), (0, v + height * 0.3)], _leaves(scaled(color, 0.6 + 0.08 * level)))
        return
    bare = height * rng.uniform(0.2, 0.38)
    board.limb((0, 0), (rng.uniform(-0.3, 0.3), bare * 1.5), height * rng.uniform(0.02, 0.04), bark)
    size_px = stage.pixels(height, z)
    clumps = 9 if size_px > 120 else 5 if size_px > 50 else 3
    for i in range(clumps):
        part = i / clumps
        u = rng.uniform(-0.55, 0.55) * width
        v = bare + (height - bare) * (0.2 + 0.6 * part) + rng.uniform(-0.06, 0.06) * height
        radius = width * rng.uniform(0.42, 0.72) * (1.05 - 0.4 * part)
        _clump(stage, board, u, v, radius, scaled(color, 0.68 + 0.5 * part + rng.uniform(-0.08, 0.08)))


def bush(stage: Stage, x: float, z: float, height: float) -> None:
    if not stage.shows(x, z, height):
        return
    board, color = stage.board(x, z), leaf_color(stage.rng, stage.town)
    for i in range(3):
        u = stage.rng.uniform(-0.6, 0.6) * height
        _clump(stage, board, u, height * 0.45, height * 0.6, scaled(color, 1 + 0.1 * i))


def hedge(stage: Stage, x: float, near: float, far: float, height: float, depth: float) -> None:
    """A clipped hedge along the street, `depth` metres (signed) thick."""
    color = leaf_color(stage.rng, stage.town)
    leaves = _leaves(color, 0.9)
    stage.box(x, depth, near, far, height, leaves, leaves, _leaves(scaled(color, 1.15), 0.9))


def thicket(stage: Stage, x: float, near: float, far: float, depth: float) -> None:
    """Trees and bushes from x to x + depth (signed), with a closed green edge behind them."""
    rng = stage.rng
    count = int((far - near) * abs(depth) / 45) + 1
    for most, thing, parts, heights in ((10, tree, (0.25, 1), (5, 14)), (6, bush, (0.1, 0.5), (0.6, 1.8))):
        for _ in range(min(count, most)):
            z = rng.uniform(near, far)
            stage.later(z, thing, x + depth * rng.uniform(*parts), z, rng.uniform(*heights))
    stage.later(far, hedge, x + depth, near, far, rng.uniform(2.5, 6), depth * 0.2)
