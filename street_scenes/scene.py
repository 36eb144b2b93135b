"""One street scene: the picture and its labels, from a name and nothing else."""

from dataclasses import replace
from math import atan
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from street_scenes.drawing.camera import Camera
from street_scenes.drawing.canvas import Canvas, Material, Plane
from street_scenes.drawing.shading import photograph
from street_scenes.stage import Stage
from street_scenes.street import build
from street_scenes.town import Town, paint_color
from street_scenes.weather import weather

EGO_VEHICLE = 1
NOISES = 1 << 20
"""Where the sensor noise of a picture may begin."""


class Scene(NamedTuple):
    """RGB (H, W, 3) and Cityscapes ids (H, W)."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def render(name: str, town_name: str, size: tuple[int, int], ahead_m: float = 0.0) -> Scene:
    """The scene called `name` (its seed) in a town; `size` (height, width) changes its detail, not what is in it.

    The camera has driven `ahead_m` metres along the street, and so have those before it in its lane.
    """
    rng = Random(name)
    town = Town(town_name)
    light, sky = weather(rng)
    camera = Camera(
        size=size,
        focal_px=size[1] * rng.uniform(1.02, 1.16),
        position=(0.0, town.camera_m + rng.gauss(0, 0.03), 0.0),
        yaw=rng.gauss(0, 0.05),
        pitch=rng.gauss(0.02, 0.015),
        roll=rng.gauss(0, 0.008),
    )
    noise_offset = rng.randrange(NOISES)
    canvas = Canvas(sky)
    bend_per_m = max(-0.004, min(0.004, rng.gauss(0, 0.0013)))
    start_x, height_m, start_z = camera.position
    camera = replace(
        camera,
        position=(start_x + 0.5 * bend_per_m * ahead_m**2, height_m, start_z + ahead_m),
        yaw=camera.yaw + atan(bend_per_m * ahead_m),
    )
    build(Stage(canvas, camera, light, town, rng, bend_per_m, ahead_m))
    if town.has_hood:
        _hood(canvas, camera, Random(f"hood {town_name}"))
    drawing = canvas.draw(camera)
    # Another picture's noise: a prime number of values further on each millimetre.
    noise_offset = (noise_offset + 7919 * round(1000 * ahead_m)) % NOISES
    return Scene(photograph(drawing, camera, light, noise_offset), drawing.labels)


def _hood(canvas: Canvas, camera: Camera, rng: Random) -> None:
    """The camera car's own bonnet, a metre ahead of the camera, at the same place in every picture of a town."""
    right, down, ahead = camera.rotation
    low, points = rng.uniform(0.185, 0.205), []
    for x, y in ((-0.75, 0.8), (-0.5, low + 0.03), (0.0, low), (0.5, low + 0.03), (0.75, 0.8)):
        point_x, point_y, point_z = (right * x + down * y + ahead + camera.position).tolist()
        points.append((point_x, point_y, point_z))
    plane = Plane(points[0], (1.0, 0.0, 0.0), (0.0, 0.3, 0.95))
    canvas.polygon(points, Material(EGO_VEHICLE, paint_color(rng), contrast=0.2), plane)
