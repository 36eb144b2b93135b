"""Predictions beside images and truth (Fig. 6)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lgcnet_search.plots.figures import saved

_WIDTH = 12.0


class PredictedImage(NamedTuple):
    """RGB pictures of equal height and width, uint8 of shape (height, width, 3)."""

    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    predicted: NDArray[np.uint8]


def predicted_images(
    images: Sequence[PredictedImage], colors: Mapping[str, tuple[int, int, int]], path: Path, title: str = ""
) -> Path:
    """A row for each image: image, truth, prediction; below, the classes' colours. Ignored pixels are black."""
    height, width = images[0].image.shape[:2]
    row_height = _WIDTH / 3 * height / width
    legend = 0.24 * -(-len(colors) // 7) + 0.1
    total = len(images) * row_height + legend + 0.55
    figure = Figure(figsize=(_WIDTH, total), dpi=110)
    for row, pictures in enumerate(images):
        for column, (name, picture) in enumerate(zip(("image", "truth", "prediction"), pictures, strict=True)):
            axes = figure.add_subplot(len(images), 3, 3 * row + column + 1)
            axes.imshow(picture, interpolation="antialiased")
            axes.set_axis_off()
            if row == 0:
                axes.set_title(name, fontsize=10)
    handles = [Patch(color="#{:02x}{:02x}{:02x}".format(*color), label=name) for name, color in colors.items()]
    figure.legend(handles=handles, ncols=7, loc="lower center", frameon=False, fontsize=8)
    return saved(figure, path, title, bottom=legend / total)
