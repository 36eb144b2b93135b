"""Views cut image and label alike, whatever the sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.data.sources import random_crop
from lgcnet_search.data.views import CenterCrop, RandomCrop, RandomResizedCrop, Resized, ViewRule, normalized

sides = st.integers(20, 90)


def striped(height: int, width: int) -> tuple[Image.Image, Image.Image]:
    """A label whose value grows smoothly with y and x, and an image that shows the same numbers."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([y * 200 / height, x * 200 / width, np.full_like(x, 200)], axis=2)
    label = (y * 200 / height + x * 200 / width) / 2
    return Image.fromarray(image.astype(np.uint8)), Image.fromarray(label.astype(np.uint8))


@pytest.mark.parametrize(
    "rule", [RandomCrop((32, 48)), RandomResizedCrop((32, 32)), Resized((31, 47)), CenterCrop((16, 16))]
)
@given(height=sides, width=sides, seed=st.integers(0, 2**32))
def test_image_and_label_stay_aligned(rule: ViewRule, height: int, width: int, seed: int) -> None:
    image, label = striped(height, width)
    view = rule.view((height, width), np.random.default_rng(seed))
    pixels, ids = np.asarray(view.image(image)).astype(float), np.asarray(view.label(label, IGNORE)).astype(float)
    assert pixels.shape[:2] == ids.shape == view.canvas
    inside = ids != IGNORE
    assert inside.sum() == view.size[0] * view.size[1]
    # One source pixel of either picture, for nearest against bilinear.
    step = 200 / height + 200 / width + 2
    assert np.abs(pixels[..., :2].mean(axis=2) - ids)[inside].max() <= step


def test_a_flip_mirrors() -> None:
    image, label = striped(40, 40)
    rule = RandomCrop((40, 40), scale=(1.0, 1.0), flip=1.0)
    view = rule.view((40, 40), np.random.default_rng(0))
    assert np.array_equal(np.asarray(view.image(image)), np.asarray(image)[:, ::-1])
    assert np.array_equal(np.asarray(view.label(label, IGNORE)), np.asarray(label)[:, ::-1])


def test_scales_and_places_vary() -> None:
    rule = RandomCrop((64, 64))
    views = [rule.view((128, 256), np.random.default_rng(seed)) for seed in range(50)]
    zooms = [view.size[0] / (view.box[3] - view.box[1]) for view in views]
    assert min(zooms) < 0.7
    assert max(zooms) > 1.7
    assert {view.flip for view in views} == {True, False}


def test_base_makes_scale_independent_of_the_files_size() -> None:
    rule = RandomCrop((64, 64), scale=(1.0, 1.0), base=(64, 128))
    view = rule.view((512, 1024), np.random.default_rng(0))
    assert view.box[3] - view.box[1] == 512


def test_normalized_has_the_mean_at_zero_and_the_layout_that_networks_are_measured_in() -> None:
    tensor = normalized(Image.new("RGB", (4, 2), (124, 116, 104)))
    assert tensor.shape == (3, 2, 4)
    assert tensor.abs().max() < 0.01
    assert tensor.is_contiguous()


@pytest.mark.parametrize("crop", [(64, 128), (384, 768), (100, 100), (33, 700), (700, 33), (769, 769), (769, 1537)])
def test_crops_of_any_shape_keep_the_proportions_of_the_input(crop: tuple[int, int]) -> None:
    size = (769, 1537)
    base = random_crop(crop, size).base
    assert base
    assert base[0] / size[0] == pytest.approx(base[1] / size[1], abs=1 / size[0])
    assert all(part <= whole for part, whole in zip(crop, base, strict=True))
    assert all(whole <= most for whole, most in zip(base, size, strict=True))
