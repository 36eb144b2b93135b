"""Transforms as views: a rule draws one view of a picture, and image and label are cut by the same view.

So image and label cannot part. Cropping before resizing costs the crop's pixels only, whatever the picture's size.
"""

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Protocol

import numpy as np
import torch
from PIL import Image

Size = tuple[int, int]
"""Height, width in pixels."""

# Per channel in 0..1, of ImageNet: the pretrained weights expect them.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MEAN_COLOR = (124, 116, 104)


@dataclass(frozen=True)
class View:
    """`box` (left, top, right, bottom in source pixels), resized to `size`, put at `at` (y, x) on a `canvas`."""

    box: tuple[float, float, float, float]
    size: Size
    canvas: Size
    at: tuple[int, int] = (0, 0)
    flip: bool = False

    def image(self, picture: Image.Image) -> Image.Image:
        """The view of a photograph: bilinear, antialiased; what it does not cover has the mean colour."""
        return self._cut(picture, Image.Resampling.BILINEAR, MEAN_COLOR)

    def label(self, picture: Image.Image, fill: int) -> Image.Image:
        """The view of a label picture: nearest; what it does not cover is `fill`."""
        return self._cut(picture, Image.Resampling.NEAREST, fill)

    def _cut(self, picture: Image.Image, how: Image.Resampling, fill: int | tuple[int, ...]) -> Image.Image:
        height, width = self.size
        cut = picture.resize((width, height), how, box=self.box)
        if self.flip:
            cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.size == self.canvas:
            return cut
        canvas = Image.new(picture.mode, (self.canvas[1], self.canvas[0]), fill)
        canvas.paste(cut, (self.at[1], self.at[0]))
        return canvas


class ViewRule(Protocol):
    """Draws a view of a picture of `source` (height, width); all chance comes from `rng`."""

    def view(self, source: Size, rng: np.random.Generator) -> View: ...


@dataclass(frozen=True)
class Resized:
    """The whole picture at `size`: evaluation."""

    size: Size

    def view(self, source: Size, rng: np.random.Generator) -> View:  # noqa: ARG002
        return View((0, 0, source[1], source[0]), self.size, self.size)


@dataclass(frozen=True)
class RandomCrop:
    """Resize by a random factor, crop `size` at random (padded where the picture is too small), flip at random.

    `base` is the size that factor 1 stands for: None is the picture's own. The paper's factors are 0.5 to 2.0.
    """

    size: Size
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    base: Size | None = None

    def view(self, source: Size, rng: np.random.Generator) -> View:
        factor = rng.uniform(*self.scale)
        starts: list[float] = []
        lengths: list[float] = []
        sizes: list[int] = []
        at: list[int] = []
        for axis in (0, 1):
            zoom = factor * (self.base[axis] / source[axis] if self.base else 1.0)
            length = min(float(source[axis]), self.size[axis] / zoom)
            sizes.append(min(self.size[axis], max(1, round(length * zoom))))
            lengths.append(length)
            starts.append(rng.uniform(0, source[axis] - length))
            at.append(int(rng.integers(0, self.size[axis] - sizes[-1] + 1)))
        box = (starts[1], starts[0], starts[1] + lengths[1], starts[0] + lengths[0])
        return View(box, (sizes[0], sizes[1]), self.size, (at[0], at[1]), bool(rng.random() < self.flip))


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of the picture at `size`, flipped at random: ImageNet training."""

    size: Size
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    def view(self, source: Size, rng: np.random.Generator) -> View:
        area = source[0] * source[1] * rng.uniform(*self.area)
        ratio = exp(rng.uniform(log(self.ratio[0]), log(self.ratio[1])))
        width, height = min(sqrt(area * ratio), source[1]), min(sqrt(area / ratio), source[0])
        left, top = rng.uniform(0, source[1] - width), rng.uniform(0, source[0] - height)
        return View((left, top, left + width, top + height), self.size, self.size, flip=bool(rng.random() < self.flip))


@dataclass(frozen=True)
class CenterCrop:
    """The middle of the picture at `size`, `part` of its shorter side: ImageNet evaluation (224 of 256)."""

    size: Size
    part: float = 224 / 256

    def view(self, source: Size, rng: np.random.Generator) -> View:  # noqa: ARG002
        zoom = min(source[0] / self.size[0], source[1] / self.size[1]) * self.part
        height, width = self.size[0] * zoom, self.size[1] * zoom
        left, top = (source[1] - width) / 2, (source[0] - height) / 2
        return View((left, top, left + width, top + height), self.size, self.size)


def normalized(picture: Image.Image) -> torch.Tensor:
    """RGB picture to float32 of shape (3, H, W), contiguous, with mean 0 and deviation 1 over ImageNet.

    Left in the picture's order, channels last, one image alone would make a network slower than it was measured.
    """
    pixels = torch.from_numpy(np.array(picture, dtype=np.uint8)).permute(2, 0, 1)
    pixels = pixels.to(torch.float32, memory_format=torch.contiguous_format)
    mean = torch.tensor(MEAN).view(3, 1, 1) * 255
    std = torch.tensor(STD).view(3, 1, 1) * 255
    return (pixels - mean) / std
