"""How good a network is: mean intersection over union at the labels' own resolution."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lgcnet_search.computing.batches import IGNORE
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.data.imagenet import ImageNet
from lgcnet_search.data.labels import LabelTable
from lgcnet_search.data.loading import in_order
from lgcnet_search.data.segmentation import SegmentationFiles


@dataclass(frozen=True)
class Scores:
    """Shares from 0 to 1. A class that is neither in truth nor in prediction has no IoU and is not in the mean."""

    miou: float
    pixel_accuracy: float
    iou: dict[str, float | None]
    images: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


OnImage = Callable[[int, Tensor], None]
"""Called with an image's index in the data set and its prediction: train ids, H×W, at the label's resolution."""


def evaluate(
    network: nn.Module,
    dataset: SegmentationFiles,
    computing: Computing = ALONE,
    on_image: OnImage | None = None,
) -> Scores:
    """Evaluate on all of `dataset`, image by image, in evaluation mode; the network's mode is restored.

    `dataset` gives images at the network's size and, with `full_labels`, labels at theirs: logits are resized to the
    label before the best class is taken. Each of several processes takes its share of the images; all return the
    same. Raises DataError.
    """
    processes = computing.processes
    confusion = Confusion(dataset.labels, computing)
    training = network.training
    network.to(computing.device).eval()
    try:
        for count, batch in enumerate(in_order(dataset, 1, computing)):
            image, target = computing.on_device(batch)
            with torch.inference_mode(), computing.autocast():
                predicted = best_classes(network(image), target.shape[1:])
            confusion.update(predicted, target)
            if on_image:
                on_image(processes.rank + count * processes.count, predicted[0].cpu())
    finally:
        network.train(training)
    return confusion.scores(len(dataset))


class Confusion:
    """Pixels by true and predicted class, added up over batches and processes."""

    def __init__(self, labels: LabelTable, computing: Computing = ALONE) -> None:
        # It imports what it has for texts and sounds too, for seconds: only commands that evaluate wait for that.
        from torchmetrics.classification import MulticlassConfusionMatrix

        self._names = labels.names
        self._matrix = MulticlassConfusionMatrix(
            labels.classes, ignore_index=IGNORE, validate_args=False, sync_on_compute=computing.processes.count > 1
        ).to(computing.device)

    def update(self, predicted: Tensor, targets: Tensor) -> None:
        """Best classes and train ids, both N×H×W."""
        self._matrix.update(predicted, targets)

    def scores(self, images: int) -> Scores:
        """What the pixels of `images` pictures say."""
        counts = self._matrix.compute().cpu().double()
        right = counts.diag()
        union = counts.sum(dim=0) + counts.sum(dim=1) - right
        iou = [float(hits / pixels) if pixels else None for hits, pixels in zip(right, union, strict=True)]
        present = [value for value in iou if value is not None]
        return Scores(
            miou=sum(present) / max(1, len(present)),
            pixel_accuracy=float(right.sum() / counts.sum().clamp(min=1)),
            iou=dict(zip(self._names, iou, strict=True)),
            images=images,
        )


def best_classes(logits: Tensor, size: Sequence[int]) -> Tensor:
    """N×classes×h×w to the best class of every pixel at `size`: N×height×width."""
    # The image was resized with pixels as areas, so its prediction is resized back in the same way.
    resized = F.interpolate(logits.float(), tuple(size), mode="bilinear", align_corners=False)
    return resized.argmax(dim=1)


def top1(
    network: nn.Module,
    dataset: ImageNet,
    computing: Computing = ALONE,
    batch_size: int = 32,
    on_images: Callable[[int], None] | None = None,
) -> float:
    """The share of images whose class gets the highest logit, over all processes. Raises DataError.

    `on_images` is told how many more images have been seen.
    """
    from torchmetrics.classification import MulticlassAccuracy

    metric = MulticlassAccuracy(
        len(dataset.classes), average="micro", validate_args=False, sync_on_compute=computing.processes.count > 1
    ).to(computing.device)
    network.to(computing.device).eval()
    for batch in in_order(dataset, batch_size, computing):
        images, targets = computing.on_device(batch)
        with torch.inference_mode(), computing.autocast():
            logits = network(images)
        metric.update(logits.float(), targets)
        if on_images:
            on_images(len(images) * computing.processes.count)
    return float(metric.compute())
