"""What scenes are drawn with: the camera, polygons and veils on a canvas, and the textures."""

import numpy as np
import pytest

from street_scenes.drawing.camera import NEAR_M, Camera, Point, clip_near
from street_scenes.drawing.canvas import Canvas, Material, Plane, Surface
from street_scenes.drawing.textures import SIDE, atlas

CAMERA = Camera((100, 200), 200.0, (0.0, 1.5, 0.0), 0.0, 0.0, 0.0)


def test_where_the_camera_sees_a_point() -> None:
    points = CAMERA.to_camera(np.array([[1.0, 0.0, 10.0]]))
    assert CAMERA.to_pixels(points).tolist() == [[100 + 200 * 0.1, 50 + 200 * 0.15]]


def test_clipping_leaves_what_is_ahead() -> None:
    square = np.array([[0, 0, -1], [1, 0, -1], [1, 0, 3], [0, 0, 3.0]])
    clipped = clip_near(square)
    assert clipped[:, 2].min() == pytest.approx(NEAR_M)
    assert sorted(clipped[:, 0].tolist()) == [0, 0, 1, 1]
    assert len(clip_near(square - [0, 0, 5.0])) == 0


def test_a_veil_labels_what_was_painted_before_it_and_keeps_its_look() -> None:
    def wall(left: float, right: float, z: float) -> list[Point]:
        return [(left, -9.0, z), (right, -9.0, z), (right, 9.0, z), (left, 9.0, z)]

    canvas = Canvas(Surface(Material(23, (0, 0, 0)), Plane((0, 9, 0), (1, 0, 0), (0, 0, 1))))
    canvas.polygon(wall(-9, 0, 9), Material(11, (0, 0, 0)))
    canvas.veil(wall(-9, 9, 8), 13)
    canvas.polygon(wall(-1, 1, 7), Material(24, (0, 0, 0)))
    drawing = canvas.draw(CAMERA)
    assert drawing.labels[50, [20, 180, 100]].tolist() == [13, 13, 24]
    assert drawing.ids[50, [20, 180, 100]].tolist() == [1, 0, 3]


def test_the_atlas_holds_every_level() -> None:
    texels, start = atlas()
    sizes = np.diff([*start.tolist(), len(texels)])
    assert sizes[0] % (SIDE * SIDE) == 0
    assert (sizes[:-1] == 4 * sizes[1:]).all()
