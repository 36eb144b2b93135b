"""A small data set in a published layout."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lgcnet_search.data.cityscapes import LABELS


@pytest.fixture
def cityscapes_root(tmp_path: Path) -> Path:
    """Six train images 64×128 of two cities; an image's colour is its label's, so that they can be compared."""
    rng = np.random.default_rng(0)
    ids = np.array([label.id for label in LABELS.labels], dtype=np.uint8)
    for index in range(6):
        city = ("aa", "bb")[index % 2]
        label = np.kron(rng.choice(ids, (4, 8)), np.ones((16, 16), dtype=np.uint8))
        name = f"{city}_{index:06d}_000019"
        for folder, suffix, pixels in (
            ("leftImg8bit", "leftImg8bit", np.repeat(label[..., None] * 7, 3, axis=2)),
            ("gtFine", "gtFine_labelIds", label),
        ):
            target = tmp_path / folder / "train" / city
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(target / f"{name}_{suffix}.png")
    return tmp_path
