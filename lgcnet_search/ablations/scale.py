"""How much is spent on the networks of an ablation: the paper's scale, and one for two CPU cores."""

import math
from dataclasses import dataclass, replace
from typing import Any, get_args

from lgcnet_search.computing.losses import LOSSES, Loss
from lgcnet_search.data.views import Size
from lgcnet_search.search.update import Sampling
from lgcnet_search.space.space import Space
from lgcnet_search.training.train import Schedule

LEAST = {
    "search_steps": 1,
    "search_batch": 2,
    "supernet_steps": 1,
    "generations": 1,
    "population": 2,
    "draws": 1,
    "train_steps": 1,
    "train_batch": 2,
}


OF_SEARCHES = ("search_batch", "crop", "proxy_channels", "weight_lr")
OF_GRADIENT = ("search_steps", "sampling", "alpha_lr", "draws")
OF_EVOLUTION = ("supernet_steps", "generations", "population")
"""Which sizes only searches, only those by gradient and only evolution depend on."""


@dataclass(frozen=True)
class Scale:
    """Sizes of searches and trainings. The default is the paper's, as far as it states it.

    It names neither the number of search steps nor the crops: 24 000 steps of 16 images are ten hours at 1.5 s each,
    as its search took. Raises ValueError naming field and value.
    """

    search_steps: int = 24_000
    search_batch: int = 16
    crop: Size = (384, 768)
    """What the supernet is trained on."""
    proxy_channels: int = 8
    sampling: Sampling = "soft"
    alpha_lr: float = 1e-3
    draws: int = 1
    """Networks that the final α draws, of which the most accurate by inherited weights is taken; 1: the likeliest."""
    weight_lr: tuple[float, float] = (0.025, 0.001)
    """The supernet's, at the first step and after the last."""
    supernet_steps: int = 24_000
    """Of a supernet that is trained path by path, for evolution."""
    generations: int = 20
    population: int = 50
    train_steps: int = 74_375
    """200 epochs of 2975 images, 8 at once."""
    train_batch: int = 8
    train_crop: Size = (769, 769)
    train_channels: int = 8
    learning_rate: float = 0.01
    adamw: bool = False
    """Networks are trained by AdamW along half a cosine, on all pixels alike; else as the paper finetunes."""
    input_size: Size = (769, 1537)
    """What images are resized to: in training before they are cropped, in evaluation as they are."""

    def __post_init__(self) -> None:
        for name in (
            "search_steps",
            "search_batch",
            "supernet_steps",
            "generations",
            "population",
            "draws",
            "train_steps",
            "train_batch",
        ):
            least = 2 if name.endswith("batch") or name == "population" else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)} is not at least {least}")
        if self.sampling not in get_args(Sampling):
            raise ValueError(f"sampling: {self.sampling!r} is none of {', '.join(get_args(Sampling))}")
        for name in ("crop", "train_crop", "input_size"):
            height, width = getattr(self, name)
            _check(name, height=height, width=width)
        for name in ("proxy_channels", "train_channels"):
            _check(name, channels=getattr(self, name))
        for name in ("alpha_lr", "learning_rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name}: {getattr(self, name)} is not a finite number above 0")

    @property
    def schedule(self) -> Schedule:
        """Of a network's training."""
        if self.adamw:
            return Schedule(
                self.train_steps, self.learning_rate, weight_decay=0.01, cosine=True, warm_up=0.05, adamw=True
            )
        return Schedule(self.train_steps, self.learning_rate)

    @property
    def loss(self) -> Loss:
        """Of a network's training."""
        return LOSSES["cross-entropy" if self.adamw else "hard-examples"]

    def proxy(self, space: Space) -> Space:
        """`space` at the size and with the channels that supernets are trained at."""
        return replace(space, height=self.crop[0], width=self.crop[1], channels=self.proxy_channels)

    def with_(self, **changes: Any) -> "Scale":
        """This scale with every change that is not None."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


def _check(name: str, **fields: Any) -> None:
    """Raises ValueError for what no space can have."""
    try:
        Space(**fields)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


PAPER = Scale()

SMALL = Scale(
    search_steps=400,
    draws=64,
    search_batch=8,
    crop=(64, 128),
    proxy_channels=4,
    sampling="hard",
    alpha_lr=0.01,
    supernet_steps=500,
    generations=8,
    population=16,
    train_steps=3000,
    train_batch=8,
    train_crop=(64, 128),
    train_channels=4,
    learning_rate=0.1,
    input_size=(128, 256),
)
"""About seven minutes of one CPU core for a network that is searched and trained.

Few steps ask for faster learning rates: α of 0.01 moves as far in 500 steps as the paper's 0.001 does in 5000.
"""

QUICK = SMALL.with_(
    search_steps=600,
    draws=72,
    alpha_lr=0.025,
    weight_lr=(0.1, 0.001),
    supernet_steps=1200,
    generations=6,
    population=12,
    train_steps=600,
    train_batch=4,
    train_crop=(128, 256),
    learning_rate=0.02,
    adamw=True,
)
"""About five minutes of one CPU core for a network that is searched and trained: to see whether anything is to be seen.

A search by gradient costs as much as evolution at two ceilings, whose supernet serves both: 600 steps and 72 networks
judged. After so few steps, SGD by the poly schedule on small crops leaves all networks of CamVid at 19 to 22 % mIoU,
whatever they are; AdamW on whole pictures takes them to 22 to 30 %, and tells them apart.
"""

SCALES = {"paper": PAPER, "small": SMALL, "quick": QUICK}

SIZES: dict[str, dict[str, dict[str, Size]]] = {
    "camvid": {
        "paper": {"crop": (360, 480), "train_crop": (720, 960), "input_size": (720, 960)},
        "small": {"crop": (96, 128), "train_crop": (96, 128), "input_size": (192, 256)},
        "quick": {"crop": (72, 96), "train_crop": (144, 192), "input_size": (144, 192)},
    },
}
"""Of layouts whose pictures are not twice as wide as high, by layout and scale."""


def scale_of(name: str, layout: str) -> Scale:
    """The scale of this name with the sizes of a layout's pictures."""
    return SCALES[name].with_(**SIZES.get(layout, {}).get(name, {}))
