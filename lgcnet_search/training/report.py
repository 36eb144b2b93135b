"""What an evaluation leaves in its folder: scores, predictions beside image and truth, label files."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lgcnet_search.data.segmentation import SegmentationFiles, open_rgb
from lgcnet_search.plots.predictions import PredictedImage, predicted_images
from lgcnet_search.training.evaluate import Scores, best_classes

TRAINED_ON = "trained on"
"""How scores are named that say nothing about other images."""


def write_scores(scores: Scores, data: str, out: Path, *, trained_on: bool = False) -> Path:
    """Write scores.json, whose path is returned; it says whether the network was `trained_on` these images."""
    path = out / "scores.json"
    content = {**scores.to_dict(), "data": data, "trained_on": trained_on}
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return path


def draw_predictions(
    network: nn.Module, dataset: SegmentationFiles, count: int, device: torch.device, out: Path, title: str = ""
) -> Path:
    """Draw predictions.png: `count` images, evenly spread over the data set, beside truth and prediction (Fig. 6)."""
    labels = dataset.labels
    rows = []
    for index in np.linspace(0, len(dataset) - 1, min(count, len(dataset)), dtype=int).tolist():
        image, target = dataset[index]
        with torch.inference_mode():
            predicted = best_classes(network(image[None].to(device)), target.shape)[0].cpu()
        photograph = np.asarray(open_rgb(dataset.files[index].image))
        rows.append(PredictedImage(photograph, labels.colored(target.numpy()), labels.colored(predicted.numpy())))
    colors = {label.name: label.color for label in labels.evaluated}
    return predicted_images(rows, colors, out / "predictions.png", title)


def write_label_file(dataset: SegmentationFiles, index: int, predicted: Tensor, out: Path) -> Path:
    """Write a prediction (train ids, H×W) with the ids of label files, under the image's name."""
    out.mkdir(parents=True, exist_ok=True)
    ids = np.array([label.id for label in dataset.labels.evaluated], dtype=np.uint8)
    path = out / dataset.files[index].image.name
    Image.fromarray(ids[predicted.numpy()]).save(path)
    return path
