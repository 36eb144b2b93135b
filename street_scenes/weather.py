"""The light of one picture: clear, overcast, low sun or dusk, and what the sensor makes of it."""

from math import cos, radians, sin, tau
from random import Random
from typing import NamedTuple

from street_scenes.drawing.canvas import Color, Material, Plane, Surface
from street_scenes.drawing.shading import Light
from street_scenes.town import hsv, tinted

SKY = 23


class _Kind(NamedTuple):
    """Pairs are ranges; hues, saturations and light are factors, `zenith_value`, `cloud` and `haze_value` 0..255."""

    share: float
    elevation_deg: tuple[float, float]
    ambient: Color
    sun: Color
    zenith_hue: float
    zenith_saturation: tuple[float, float]
    zenith_value: tuple[float, float]
    cloud: float
    haze_hue: float
    haze_value: float
    noise: tuple[float, float] = (1.0, 4.0)


_KINDS = (
    _Kind(0.47, (25, 60), (0.58, 0.62, 0.70), (0.75, 0.71, 0.62), 0.58, (0.25, 0.6), (215, 230), 245, 0.58, 232),
    _Kind(0.33, (50, 70), (0.86, 0.88, 0.92), (0.16, 0.16, 0.16), 0.58, (0.03, 0.1), (165, 225), 240, 0.58, 205),
    _Kind(0.13, (8, 18), (0.54, 0.55, 0.63), (0.95, 0.74, 0.48), 0.56, (0.2, 0.4), (205, 220), 250, 0.10, 232),
    _Kind(0.07, (50, 70), (0.45, 0.48, 0.62), (0.04, 0.04, 0.05), 0.61, (0.4, 0.5), (115, 140), 120, 0.10, 150, (4, 7)),
)


def weather(rng: Random) -> tuple[Light, Surface]:
    """The light, and the sky: clouds on a ceiling far above."""
    kind = rng.choices(_KINDS, [kind.share for kind in _KINDS])[0]
    elevation, azimuth = radians(rng.uniform(*kind.elevation_deg)), rng.uniform(0, tau)
    zenith = hsv(kind.zenith_hue, rng.uniform(*kind.zenith_saturation), rng.uniform(*kind.zenith_value))
    balance, exposure = rng.gauss(0, 0.05), rng.uniform(0.85, 1.35)
    light = Light(
        sun_direction=(sin(azimuth) * cos(elevation), sin(elevation), cos(azimuth) * cos(elevation)),
        ambient=kind.ambient,
        sun=kind.sun,
        haze=tinted(rng, kind.haze_hue, 0.10, kind.haze_value),
        haze_per_m=1 / rng.choice((1500.0, 900.0, 600.0, 300.0)),
        exposure=(exposure * (1 + balance), exposure, exposure * (1 - balance)),
        gamma=rng.uniform(0.85, 1.2),
        blur=rng.uniform(0.35, 0.7),
        noise=rng.uniform(*kind.noise),
    )
    cloud = (kind.cloud, kind.cloud, kind.cloud)
    sky = Material(SKY, zenith, "clouds", cloud, rng.uniform(0.2, 0.6), (420.0, 300.0), glow=1.0)
    ceiling = Plane((rng.uniform(-900, 900), 130.0, rng.uniform(0, 900)), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    return light, Surface(sky, ceiling)
