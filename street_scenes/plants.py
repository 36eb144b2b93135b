"""Vegetation: trees, bushes, hedges. Trunks count as vegetation, as Cityscapes has it."""

from functools import partial
from math import cos, sin

from street_scenes.canvas import Color, Material
from street_scenes.stage import Board, Stage
from street_scenes.town import hsv, scaled, tinted

VEGETATION = 21


def leaf_color(stage: Stage) -> Color:
    rng = stage.rng
    return hsv(stage.town.leaf_hue + rng.gauss(0, 0.025), rng.uniform(0.25, 0.6), rng.uniform(85, 150))


def leaves(color: Color, contrast: float = 1.3) -> Material:
    return Material(VEGETATION, color, "foliage", scaled(color, 0.35), contrast, (3.0, 3.0))


def _blob(stage: Stage, board: Board, u: float, v: float, radius: float, color: Color) -> None:
    """A ragged patch of leaves, lighter above."""
    rng = stage.rng
    size = stage.pixels(radius, board.foot[2])
    corners = 18 if size > 25 else 11 if size > 8 else 6
    outline = []
    for i in range(corners):
        angle = 6.2832 * i / corners
        reach = radius * rng.uniform(0.78, 1.12)
        outline.append((u + reach * cos(angle), v + 0.85 * reach * sin(angle)))
    board.polygon(outline, leaves(color))


def tree(stage: Stage, x: float, z: float, height: float) -> None:
    """A broad-leaved tree, sometimes a conifer."""
    if stage.visible(x, z, height / 2):
        stage.later(z, partial(_tree, stage, x, z, height))


def _tree(stage: Stage, x: float, z: float, height: float) -> None:
    rng = stage.rng
    board = stage.board(x, z)
    color = leaf_color(stage)
    bark = Material(VEGETATION, tinted(rng, 0.07, 0.25, rng.uniform(50, 95)), "planks", (35, 30, 25), 0.8, (1.0, 3.0))
    width = height * rng.uniform(0.25, 0.42)
    if z < 60:
        foot = [stage.at(x - 0.25, 0, z), stage.at(x + 0.25, 0, z), stage.at(x, 0, z + 0.3)]
        stage.cast(foot, height * 0.4)
        reach = height * 0.7 / max(stage.light.sun_direction[1], 0.15)
        sun = stage.light.sun_direction
        middle_x, _, middle_z = stage.at(x, 0, z)
        middle_x, middle_z = middle_x - sun[0] * reach, middle_z - sun[2] * reach
        angles = [0.7 * i for i in range(9)]
        stage.canvas.shadow(
            [(middle_x + width * cos(a) * rng.uniform(0.7, 1.1), 0.0, middle_z + width * sin(a)) for a in angles]
        )
    if rng.random() < 0.12:
        board.box(0, 0, height * 0.03, height * 0.2, bark)
        for level in range(5):
            v = height * (0.12 + 0.17 * level)
            half = width * (1 - level / 5.5) * 0.8
            board.polygon([(-half, v), (half, v), (0, v + height * 0.3)], leaves(scaled(color, 0.6 + 0.08 * level)))
        return
    bare = height * rng.uniform(0.2, 0.38)
    board.limb((0, 0), (rng.uniform(-0.3, 0.3), bare * 1.5), height * rng.uniform(0.02, 0.04), bark)
    size = stage.pixels(height, z)
    blobs = 9 if size > 120 else 5 if size > 50 else 3
    for i in range(blobs):
        part = i / blobs
        u = rng.uniform(-0.55, 0.55) * width
        v = bare + (height - bare) * (0.2 + 0.6 * part) + rng.uniform(-0.06, 0.06) * height
        size = width * rng.uniform(0.42, 0.72) * (1.05 - 0.4 * part)
        _blob(stage, board, u, v, size, scaled(color, 0.68 + 0.5 * part + rng.uniform(-0.08, 0.08)))


def bush(stage: Stage, x: float, z: float, height: float) -> None:
    def paint() -> None:
        board = stage.board(x, z)
        color = leaf_color(stage)
        for _ in range(3):
            _blob(stage, board, stage.rng.uniform(-0.6, 0.6) * height, height * 0.45, height * 0.6, color)
            color = scaled(color, 1.1)

    stage.later(z, paint)


def hedge(stage: Stage, x: float, near: float, far: float, height: float, depth: float) -> None:
    """A clipped hedge along the street, `depth` metres away from it (signed)."""

    def paint() -> None:
        color = leaf_color(stage)
        outer = [stage.at(x, 0, near), stage.at(x, 0, far), stage.at(x, height, far), stage.at(x, height, near)]
        top = [stage.at(x, height, near), stage.at(x, height, far)]
        top += [stage.at(x + depth, height, far), stage.at(x + depth, height, near)]
        end = [stage.at(x, 0, near), stage.at(x + depth, 0, near)]
        end += [stage.at(x + depth, height, near), stage.at(x, height, near)]
        stage.canvas.face(top, leaves(scaled(color, 1.15), 0.9))
        stage.canvas.face(end, leaves(color, 0.9))
        stage.canvas.face(outer, leaves(color, 0.9))
        stage.cast([stage.at(x, 0, near), stage.at(x, 0, far), stage.at(x + depth, 0, far)], height)

    stage.later(far, paint)


def thicket(stage: Stage, x: float, near: float, far: float, depth: float) -> None:
    """Trees and bushes from x to x + depth (signed), with a closed green edge behind them."""
    rng = stage.rng
    count = int((far - near) * abs(depth) / 45) + 1
    for _ in range(min(count, 10)):
        tree(stage, x + depth * rng.uniform(0.25, 1), rng.uniform(near, far), rng.uniform(5, 14))
    for _ in range(min(count, 6)):
        bush(stage, x + depth * rng.uniform(0.1, 0.5), rng.uniform(near, far), rng.uniform(0.6, 1.8))
    hedge(stage, x + depth, near, far, rng.uniform(2.5, 6), depth * 0.2)
