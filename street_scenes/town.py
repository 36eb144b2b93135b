"""What a town's streets have in common, and the colours that they are painted in."""

from colorsys import hsv_to_rgb
from random import Random

from street_scenes.drawing.canvas import Color
from street_scenes.drawing.textures import WINDOWS


class Town:
    """Looks that all pictures of a town share, so that other splits' towns look new; shares are in 0..1."""

    def __init__(self, name: str) -> None:
        rng = Random(f"town {name}")
        gray = rng.uniform(80, 122)
        self.facade_hues = [rng.random() * 0.16 if rng.random() < 0.75 else rng.random() for _ in range(5)]
        self.brick_share = rng.uniform(0.1, 0.6)
        self.windows = rng.sample(list(WINDOWS), 4)
        self.leaf_hue = rng.uniform(0.19, 0.33)
        self.paving = rng.choice(("slabs", "cobbles", "concrete", "asphalt"))
        self.paving_color = tinted(rng, rng.uniform(0.02, 0.6), 0.07, gray * rng.uniform(0.95, 1.25))
        self.asphalt_color = tinted(rng, rng.uniform(0.0, 0.7), 0.05, gray)
        self.marking_color = (215.0, 215.0, 205.0) if rng.random() < 0.8 else (215.0, 185.0, 90.0)
        # Of houses, walls, fences, parks and gaps along a street.
        self.block_weights = [*(rng.uniform(*pair) for pair in ((3, 7), (0.7, 1.8), (0.8, 2), (0.5, 2))), 0.5]
        self.tree_share = rng.uniform(0.15, 0.7)
        self.tram_share = rng.choice((0.0, 0.25, 0.5))
        self.parking_share = rng.uniform(0.15, 0.65)
        self.has_hood = rng.random() < 0.6
        self.camera_m = rng.uniform(1.15, 1.5)


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Hue and saturation in 0..1, value in 0..255."""
    return scaled(hsv_to_rgb(hue % 1, min(1.0, max(0.0, saturation)), 1.0), value)


def scaled(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


def tinted(rng: Random, hue: float, saturation: float, value: float) -> Color:
    """A colour near the hue, with half to one and a half times the saturation."""
    return hsv(hue + rng.gauss(0, 0.03), saturation * rng.uniform(0.5, 1.5), value)


def facade_color(rng: Random, town: Town) -> Color:
    return tinted(rng, rng.choice(town.facade_hues), rng.uniform(0.03, 0.24), rng.uniform(105, 225))


def leaf_color(rng: Random, town: Town) -> Color:
    return hsv(town.leaf_hue + rng.gauss(0, 0.025), rng.uniform(0.25, 0.6), rng.uniform(85, 150))


def paint_color(rng: Random) -> Color:
    """Paint of vehicles, doors, containers and clothes alike: colour alone tells none of them."""
    if rng.random() < 0.62:
        return tinted(rng, rng.random(), 0.06, rng.choice((28, 45, 80, 120, 165, 205, 230)))
    return hsv(rng.choice((0.0, 0.02, 0.08, 0.14, 0.33, 0.55, 0.6, 0.63)), rng.uniform(0.4, 0.9), rng.uniform(60, 200))
