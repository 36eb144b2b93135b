"""Scores are those of the labels' own pixels, whatever the network's size; statistics are the deployed size's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lgcnet_search.computing.checkpoint import Checkpoints
from lgcnet_search.computing.how import ALONE
from lgcnet_search.computing.losses import LOSSES
from lgcnet_search.data.cityscapes import LABELS as CITYSCAPES
from lgcnet_search.data.segmentation import SegmentationFiles
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.space.genotype import random_genotype
from lgcnet_search.space.network import DerivedNetwork
from lgcnet_search.space.space import Space
from lgcnet_search.training.evaluate import evaluate, top1
from lgcnet_search.training.phase import Phase, train_and_evaluate
from lgcnet_search.training.recalibrate import recalibrate
from lgcnet_search.training.report import draw_predictions, write_label_file
from lgcnet_search.training.train import Schedule
from tests.support.layouts import cityscapes, imagenet
from tests.support.tiny_spaces import TINY


class Fixed(nn.Module):
    """Answers image after image with given train ids, at whatever size they have."""

    def __init__(self, answers: list[Tensor]) -> None:
        super().__init__()
        self.answers = iter(answers)

    def forward(self, _: Tensor) -> Tensor:
        answer = next(self.answers).clamp(max=18)
        return 9.0 * nn.functional.one_hot(answer, 19).permute(2, 0, 1)[None].float()


def dataset(root: Path, size: tuple[int, int] = (32, 64)) -> SegmentationFiles:
    return DataFolder(root).whole("train", size)


def expected(truth: list[Tensor], answers: list[Tensor]) -> dict[int, float]:
    """IoU by definition, counted class by class."""
    true = torch.cat([labels.flatten() for labels in truth])
    answered = torch.cat([labels.flatten() for labels in answers])
    answered, true = answered[true != 255], true[true != 255]
    iou_of = {}
    for value in range(19):
        union = int(((true == value) | (answered == value)).sum())
        if union:
            iou_of[value] = int(((true == value) & (answered == value)).sum()) / union
    return iou_of


def test_scores_are_intersection_over_union(cityscapes_root: Path) -> None:
    images = dataset(cityscapes_root)
    truth = [images[index][1] for index in range(len(images))]
    assert truth[0].shape == (64, 128)
    shifted = [labels.clamp(max=18).roll(5, dims=1) for labels in truth]
    scores = evaluate(Fixed(shifted), images)
    by_definition = expected(truth, shifted)
    assert {name for name, value in scores.iou.items() if value is not None} == {
        CITYSCAPES.names[value] for value in by_definition
    }
    for value, iou in by_definition.items():
        assert scores.iou[CITYSCAPES.names[value]] == pytest.approx(iou)
    assert scores.miou == pytest.approx(np.mean(list(by_definition.values())))
    assert scores.images == 6
    perfect = evaluate(Fixed(truth), images)
    assert (perfect.miou, perfect.pixel_accuracy) == (1, 1)


def test_predictions_are_resized_to_the_label(cityscapes_root: Path) -> None:
    images = dataset(cityscapes_root)
    small = [images[index][1][8::16, 8::16] for index in range(len(images))]
    assert small[0].shape == (4, 8)
    scores = evaluate(Fixed(small), images)
    assert 0.7 < scores.pixel_accuracy < 1  # blocks of 16 × 16, blurred where they meet


def test_the_network_keeps_its_mode_and_can_be_trained_on(cityscapes_root: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 19, 1)).train()
    evaluate(network, dataset(cityscapes_root))
    assert network.training
    network(torch.zeros(1, 3, 4, 4)).sum().backward()


def test_label_files_hold_ids(cityscapes_root: Path, tmp_path: Path) -> None:
    images = dataset(cityscapes_root)
    path = write_label_file(images, 2, torch.tensor([[0, 13], [18, 5]]), tmp_path / "labels")
    assert path.name == images.files[2].image.name
    assert np.asarray(Image.open(path)).tolist() == [[7, 26], [33, 17]]


def test_predictions_are_drawn_beside_image_and_truth(cityscapes_root: Path, tmp_path: Path) -> None:
    images = dataset(cityscapes_root)
    picture = draw_predictions(nn.Conv2d(3, 19, 1), images, 2, torch.device("cpu"), tmp_path, "two")
    colors = {tuple(color) for color in np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)[::7].tolist()}
    shown = {
        label.color for index in (0, 5) for label in CITYSCAPES.evaluated if (images[index][1] == label.train_id).any()
    }
    assert len(shown & colors) > len(shown) / 2


def test_top1_counts_right_answers(tmp_path: Path) -> None:
    images = imagenet(tmp_path, ("a", "b", "c"), 4)

    class Second(nn.Module):
        def forward(self, batch: Tensor) -> Tensor:
            return torch.tensor([[0.0, 1.0, 0.0]]).expand(len(batch), 3)

    assert top1(Second(), images, batch_size=5) == pytest.approx(1 / 3)


def test_recalibrated_statistics_are_those_of_the_batches() -> None:
    network = DerivedNetwork(random_genotype(TINY, 1))
    batches = [(torch.randn(4, *TINY.input_shape) + 2, torch.zeros(0)) for _ in range(3)]
    before = {name: value.clone() for name, value in network.named_parameters()}
    recalibrate(network, batches)
    assert not network.training
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name])
    with torch.no_grad():
        first = torch.cat([network.get_submodule("stem.0.layers.0")(images) for images, _ in batches])
    statistics = network.get_submodule("stem.0.layers.1")
    assert isinstance(statistics, nn.BatchNorm2d)
    torch.testing.assert_close(statistics.running_mean, first.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-4)
    assert statistics.momentum == 0.1


def test_what_comes_after_the_training_says_how_far_it_is(tmp_path: Path) -> None:
    data = DataFolder(cityscapes(tmp_path))
    space = Space(height=33, width=49, channels=1)
    size = (40, 56)
    told: list[tuple[str, int, int]] = []
    phase = Phase(
        "training",
        data.crops("train", (33, 49), size),
        2,
        Schedule(1),
        LOSSES["cross-entropy"],
        0,
        Checkpoints(tmp_path / "train.pt", 10),
    )
    train_and_evaluate(
        DerivedNetwork(random_genotype(space, 0)),
        [phase],
        size,
        data.whole("train", size, full_labels=False),
        data.whole("val", size),
        ALONE,
        {},
        on_stage=lambda stage, done, total: told.append((stage, done, total)),
    )
    assert told == [
        *(("statistics of BatchNorm", done, 16) for done in range(17)),
        *(("evaluating", done, 4) for done in (1, 2, 3, 4)),
    ]
