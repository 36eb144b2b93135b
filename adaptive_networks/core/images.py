"""Images to train on, to choose thresholds with, and to test with: of any folder of class folders."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from adaptive_networks.core.exits import Booleans, Floats
from adaptive_networks.core.staged import StagedNetwork
from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.imagenet import ImageNet, Split
from lgcnet_search.data.loading import in_order
from lgcnet_search.data.segmentation import Key
from lgcnet_search.data.views import CenterCrop, RandomResizedCrop, Size, View, ViewRule

SMALL = 64
"""Images of up to this side are padded and cropped to train on, as CIFAR's; larger ones are cut as ImageNet's."""

JUDGED_AT_ONCE = 200


@dataclass(frozen=True)
class PaddedCrop:
    """The picture at `size`, moved by up to `padding` pixels and flipped at random (He et al. 2016, CIFAR)."""

    size: Size
    padding: int = 4

    def view(self, source: Size, rng: np.random.Generator) -> View:
        cut, at = [], []
        for axis in (0, 1):
            shift = int(rng.integers(-self.padding, self.padding + 1))
            cut.append((max(0, -shift), self.size[axis] - max(0, shift)))
            at.append(max(0, shift))
        zoom = [source[axis] / self.size[axis] for axis in (0, 1)]
        box = (cut[1][0] * zoom[1], cut[0][0] * zoom[0], cut[1][1] * zoom[1], cut[0][1] * zoom[0])
        sizes = (cut[0][1] - cut[0][0], cut[1][1] - cut[1][0])
        return View(box, sizes, self.size, (at[0], at[1]), bool(rng.random() < 0.5))


class Chosen(Dataset[tuple[Tensor, int]]):
    """Some images of a data set."""

    def __init__(self, images: ImageNet, indices: list[int]) -> None:
        self.images = images
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: Key) -> tuple[Tensor, int]:
        return self.images[(self.indices[key[0]], key[1]) if isinstance(key, tuple) else self.indices[key]]


@dataclass(frozen=True)
class Images:
    """Three parts, no image in two: `held_out` of the training images thresholds are chosen with, `test` none saw."""

    train: Chosen
    held_out: Chosen
    test: Chosen

    @property
    def classes(self) -> int:
        return len(self.train.images.classes)


def read_images(root: Path, side: int, images: int, held_out: int, test: int, seed: int) -> Images:
    """So many images of each part, at random by `seed`, at side × side. Raises DataError for a folder with too few.

    `root` has a folder train and a folder test or val, each with a folder for each class.
    """
    size = (side, side)
    varied: ViewRule = PaddedCrop(size) if side <= SMALL else RandomResizedCrop(size)
    whole: ViewRule = CenterCrop(size, 1.0 if side <= SMALL else 224 / 256)
    evaluated: Split = "val" if (root / "val").is_dir() else "test"
    trained = ImageNet(root, "train", varied, seed=seed)
    order = np.random.default_rng(seed).permutation(len(trained)).tolist()
    if len(order) < images + held_out:
        raise DataError(
            f"{root}/train has {len(order)} images; --images {images} and --held-out {held_out} take more together"
        )
    testing = ImageNet(root, evaluated, whole)
    tested = np.random.default_rng(seed).permutation(len(testing)).tolist()
    if len(tested) < test:
        raise DataError(f"{root}/{evaluated} has {len(tested)} images, fewer than --test {test}")
    return Images(
        Chosen(trained, order[:images]),
        Chosen(ImageNet(root, "train", whole), order[images : images + held_out]),
        Chosen(testing, tested[:test]),
    )


@dataclass(frozen=True)
class Judged:
    """What the exits of a network say of images: `confidence` and whether it is `correct`, both exits × images."""

    confidence: Floats
    correct: Booleans

    @property
    def accuracy(self) -> list[float]:
        """Of every exit on all images."""
        return [float(value) for value in self.correct.mean(axis=1)]


@torch.inference_mode()
def judge(network: StagedNetwork, batches: Iterator[Batch], computing: Computing = ALONE) -> Judged:
    """Every exit on every image, in evaluation mode."""
    network.to(computing.device).eval()
    confidences, corrects = [], []
    for batch in batches:
        images, targets = computing.on_device(batch)
        logits = torch.stack(network(images))
        confidences.append(logits.softmax(dim=2).amax(dim=2).double().cpu())
        corrects.append((logits.argmax(dim=2) == targets).cpu())
    return Judged(torch.cat(confidences, dim=1).numpy(), torch.cat(corrects, dim=1).numpy())


def judge_part(network: StagedNetwork, part: Chosen, computing: Computing = ALONE) -> Judged:
    """Of all images of a part, in their order."""
    return judge(network, in_order(part, JUDGED_AT_ONCE, computing), computing)


def judge_both(network: StagedNetwork, images: Images, computing: Computing = ALONE) -> tuple[Judged, Judged]:
    """Of the images held out and of those to test with."""
    return judge_part(network, images.held_out, computing), judge_part(network, images.test, computing)
