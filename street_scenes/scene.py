"""One street scene: the picture and its labels, from a name and nothing else."""

from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from street_scenes.camera import Camera, Point
from street_scenes.canvas import Canvas, Material, Plane
from street_scenes.shading import photograph
from street_scenes.stage import Stage
from street_scenes.street import build
from street_scenes.town import paint, town
from street_scenes.weather import weather

EGO_VEHICLE = 1


class Scene(NamedTuple):
    """RGB (H, W, 3) and Cityscapes ids (H, W)."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def render(name: str, town_name: str, size: tuple[int, int]) -> Scene:
    """The scene called `name` (its seed) in a town; `size` (height, width) changes its detail, not what is in it."""
    rng = Random(name)
    style = town(town_name)
    light, sky = weather(rng)
    camera = Camera(
        size=size,
        focal=size[1] * rng.uniform(1.02, 1.16),
        position=(0.0, style.height_m + rng.gauss(0, 0.03), 0.0),
        yaw=rng.gauss(0, 0.05),
        pitch=rng.gauss(0.02, 0.015),
        roll=rng.gauss(0, 0.008),
    )
    grain = rng.randrange(1 << 20)
    canvas = Canvas(sky)
    build(Stage(canvas, camera, light, style, rng, max(-0.004, min(0.004, rng.gauss(0, 0.0013)))))
    if style.hood:
        _hood(canvas, camera, Random(f"hood {town_name}"))
    drawn = canvas.draw(camera)
    image = photograph(drawn, camera, light, grain)
    return Scene(image, np.take(drawn.labels, drawn.ids))


def _hood(canvas: Canvas, camera: Camera, rng: Random) -> None:
    """The measuring car's own bonnet, at the same place in every picture of a town."""
    ahead, high = 1.0, rng.uniform(0.185, 0.205)
    half = 0.5
    paint_ = Material(EGO_VEHICLE, paint(rng), contrast=0.2)
    right, down, forward = camera.rotation
    outline: list[tuple[float, float]] = [(-0.75, 0.8), (-0.5, high + 0.035), (-0.3, high + 0.015), (0.0, high)]
    outline += [(-x, y) for x, y in reversed(outline[:-1])]

    def place(x: float, y: float) -> Point:
        offset = right * x + down * y + forward * ahead
        px, py, pz = camera.position
        return px + float(offset[0]), py + float(offset[1]), pz + float(offset[2])

    points = [place(x * 2 * half, y) for x, y in outline]
    plane = Plane(points[0], (1.0, 0.0, 0.0), (0.0, 0.3, 0.95))
    canvas.polygon(points, canvas.surface(paint_, plane))
