"""What a town's streets have in common, and the colours that they are painted in."""

from colorsys import hsv_to_rgb
from random import Random
from typing import NamedTuple

from street_scenes.canvas import Color


class Town(NamedTuple):
    """Looks that all pictures of a town share, so that other splits' towns look new."""

    facade_hues: tuple[float, ...]
    brick_share: float
    windows: tuple[str, ...]
    leaf_hue: float
    paving: str
    paving_color: Color
    asphalt_color: Color
    marking_color: Color
    blocks: tuple[float, ...]
    trees: float
    trams: float
    parking: float
    hood: bool
    height_m: float


WINDOWS = ("windows_punched", "windows_tall", "windows_wide", "windows_bands", "windows_glass")

BLOCKS = ("building", "wall", "fence", "park", "gap")


def town(name: str) -> Town:
    rng = Random(f"town {name}")
    gray = rng.uniform(80, 122)
    return Town(
        facade_hues=tuple(rng.random() * 0.16 if rng.random() < 0.75 else rng.random() for _ in range(5)),
        brick_share=rng.uniform(0.1, 0.6),
        windows=tuple(rng.sample(WINDOWS, 4)),
        leaf_hue=rng.uniform(0.19, 0.33),
        paving=rng.choice(("slabs", "cobbles", "concrete", "asphalt")),
        paving_color=tinted(rng, rng.uniform(0.02, 0.6), 0.07, gray * rng.uniform(0.95, 1.25)),
        asphalt_color=tinted(rng, rng.uniform(0.0, 0.7), 0.05, gray),
        marking_color=(215.0, 215.0, 205.0) if rng.random() < 0.8 else (215.0, 185.0, 90.0),
        blocks=(rng.uniform(3, 7), rng.uniform(0.7, 1.8), rng.uniform(0.8, 2.0), rng.uniform(0.5, 2.0), 0.5),
        trees=rng.uniform(0.15, 0.7),
        trams=rng.choice((0.0, 0.25, 0.5)),
        parking=rng.uniform(0.15, 0.65),
        hood=rng.random() < 0.6,
        height_m=rng.uniform(1.15, 1.5),
    )


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Hue and saturation in 0..1, value in 0..255."""
    red, green, blue = hsv_to_rgb(hue % 1, min(1.0, max(0.0, saturation)), 1.0)
    return red * value, green * value, blue * value


def tinted(rng: Random, hue: float, saturation: float, value: float) -> Color:
    return hsv(hue + rng.gauss(0, 0.03), saturation * rng.uniform(0.5, 1.5), value)


def scaled(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


def facade_color(rng: Random, style: Town) -> Color:
    return tinted(rng, rng.choice(style.facade_hues), rng.uniform(0.03, 0.24), rng.uniform(105, 225))


def paint(rng: Random) -> Color:
    """Paint of vehicles, doors, containers and clothes alike: colour alone tells none of them."""
    kind = rng.random()
    if kind < 0.62:
        return tinted(rng, rng.random(), 0.06, rng.choice((28.0, 45.0, 80.0, 120.0, 165.0, 205.0, 230.0)))
    return hsv(rng.choice((0.0, 0.02, 0.08, 0.14, 0.33, 0.55, 0.6, 0.63)), rng.uniform(0.4, 0.9), rng.uniform(60, 200))
