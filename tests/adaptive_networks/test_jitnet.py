"""JITNet: the student's counts, when the teacher is asked, what the student learns, and what a frame then costs."""

import copy
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from adaptive_networks.core.streams import (
    FOREGROUND,
    Folder,
    Frame,
    Generated,
    Labelled,
    Overlap,
    weights_of,
)
from adaptive_networks.jitnet.online import Seen, Stride, Student, follow, network_teacher, pretrain, rates, truth
from adaptive_networks.jitnet.plugin import space as plugin
from adaptive_networks.jitnet.space import Space
from adaptive_networks.jitnet.train import record
from lgcnet_search.data.errors import DataError
from lgcnet_search.data.layouts import LAYOUTS
from lgcnet_search.space.network import seeded
from tests.support import layouts

SMALL = Space(48, 64, 5)
COUNTS = [
    (Space(), 7579, 0.751),
    (Space(classes=4), 5337, 0.743),
    (Space(360, 480, 11), 1131, 0.746),
    (Space(360, 480, 11, 1.0), 4018, 2.969),
    (Space(360, 480, 11).teacher, 15973, 11.864),
]


@pytest.mark.parametrize(("space", "macs_m", "parameters_m"), COUNTS)
def test_macs_and_parameters(space: Space, macs_m: int, parameters_m: float) -> None:
    counts = [plugin.definition.count(step.operation) for step in space.plan().steps]
    assert round(sum(macs for _, macs in counts) / 1e6) == macs_m
    assert round(sum(parameters for parameters, _ in counts) / 1e6, 3) == parameters_m


def test_the_encoder_halves_and_the_decoder_joins() -> None:
    plan = Space().plan()
    shapes = {step.name: plugin.definition.output(step.operation) for step in plan.steps}
    assert shapes["encoder3"] == (128, 23, 40)
    assert shapes["join2"] == (64 + 128, 45, 80)
    assert shapes["join1"] == (64 + 64, 90, 160)
    assert shapes["resize2"] == (32, 180, 320)
    assert shapes["logits"] == (23, 720, 1280)


def student(lr: float = 0.01) -> Student:
    with seeded(0):
        return Student(plugin.staged(SMALL), torch.ones(5), lr)


def constant(frames: int) -> Iterator[Frame]:
    """The same picture and classes again and again."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, 48, 64, generator=generator)
    classes = torch.zeros(1, 48, 64, dtype=torch.int64)
    classes[:, 24:] = 3
    for _ in range(frames):
        yield Frame(image, classes)


def test_where_they_agree_the_teacher_is_asked_ever_less() -> None:
    seen = follow(student(0.05), constant(200), truth, Stride(2, 16, 8, agreement=0.6))
    asked = [number for number, each in enumerate(seen) if each.asked]
    assert asked[0] == 0
    assert all(right - left == seen[left].stride for left, right in pairwise(asked))
    assert {each.stride for each in seen} <= {2, 4, 8, 16}
    assert seen[-1].stride == 16
    assert not any(each.updates for each in seen[100:])
    _, share, updates = rates(seen[-160:])
    assert share == pytest.approx(1 / 16)
    assert updates == 0


def test_where_the_teacher_changes_its_mind_it_is_asked_as_often_as_allowed() -> None:
    generator = torch.Generator().manual_seed(2)
    frames = [Frame(frame.image, torch.randint(5, (1, 48, 64), generator=generator)) for frame in constant(24)]
    seen = follow(student(), frames, truth, Stride(3, 24, 2, agreement=0.9))
    assert {each.stride for each in seen} == {3}
    assert np.allclose(rates(seen), (1, 1 / 3, 2 / 3))


@pytest.mark.parametrize("stride", [None, Stride(2, 4, 8, agreement=0.0), Stride(2, 4, 0, agreement=1.0)])
def test_who_is_never_taught_stays(stride: Stride | None) -> None:
    one = student()
    before = copy.deepcopy(one.network.state_dict())
    seen = follow(one, constant(10), truth, stride)
    assert rates(seen)[2] == 0
    assert all(torch.equal(value, before[name]) for name, value in one.network.state_dict().items())


def test_the_student_changes_at_frames_of_the_teacher_only() -> None:
    one, states = student(), []

    def keep(_: Seen) -> None:
        states.append(torch.cat([value.flatten().clone() for value in one.network.state_dict().values()]))

    seen = follow(one, constant(9), truth, Stride(4, 4, 2, agreement=1.0), on_frame=keep)
    for frame in range(1, 9):
        assert torch.equal(states[frame], states[frame - 1]) == (not seen[frame].asked)


def test_an_update_is_a_step_of_sgd_whose_things_weigh_more() -> None:
    with seeded(4):
        network = plugin.staged(SMALL)
    reference = copy.deepcopy(network)
    weights = torch.tensor([1.0, 5.0, 1.0, 5.0, 1.0])
    frame = next(constant(1))
    frame.truth[0, :4] = 255  # type: ignore[index]
    one = Student(network, weights, 0.1)
    optimizer = torch.optim.SGD(reference.parameters(), 0.1, momentum=0.9)
    for _ in range(2):
        one.learn(one.logits(frame.image), truth(frame))
        optimizer.zero_grad()
        F.cross_entropy(reference(frame.image)[0], truth(frame), weights, ignore_index=255).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_any_network_teaches() -> None:
    def network(image: Tensor) -> Tensor:
        return torch.stack([image[:, 0], -image[:, 0], *[torch.full_like(image[:, 0], -9.0)] * 3], dim=1)

    one = student(0.05)
    seen = follow(one, constant(12), network_teacher(network), Stride(1, 4, 4, agreement=0.99))
    assert seen[-1].overlap.miou > seen[0].overlap.miou
    image = next(constant(1)).image
    assert torch.equal(network_teacher(network)(Frame(image, None)), (image[:, 0] < 0).long())
    with pytest.raises(ValueError, match="teacher: the stream has no labels"):
        truth(Frame(image, None))


def test_starting_on_other_streets_helps() -> None:
    one = student(0.05)
    frames = list(constant(1))
    before = follow(one, frames, truth, None)[0].overlap.miou
    pretrain(one, frames, 20, seed=0)
    assert follow(one, frames, truth, None)[0].overlap.miou > before


def test_overlap_is_the_mean_over_classes_that_occur() -> None:
    given, known = torch.tensor([[0, 0, 1, 1, 4]]), torch.tensor([[0, 1, 1, 1, 255]])
    assert Overlap(5).add(given, known).miou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert Overlap.sum([Overlap(5).add(given, known), Overlap(5).add(known % 5, known)]).miou > 0.7


def test_the_record_of_a_stream_has_three_paths_and_its_halves() -> None:
    seen = follow(student(0.05), constant(40), truth, Stride(2, 16, 4, agreement=0.5))
    found = record(SMALL, "demo", {("adaptive", "agreement 0.5"): seen})
    assert [path.label for path in found.paths] == ["student", "teacher", "update"]
    adaptive, alone = found.points
    assert adaptive.rates == rates(seen[:20])
    assert adaptive.test_rates == rates(seen[20:])
    assert list(alone.rates) == [0, 1, 0]
    assert found.paths[2].macs > 2.5 * found.paths[0].macs


def test_streams_are_frames_in_order(tmp_path: Path) -> None:
    root = layouts.camvid(tmp_path, 5)
    size = (32, 48)
    labelled = list(Labelled(root, LAYOUTS["camvid"], "test", size, 3))
    assert len(labelled) == 3
    for frame in (*labelled, *Labelled(root, LAYOUTS["camvid"], "test", size).elsewhere(4)):
        assert frame.image.shape == (1, 3, *size)
        assert truth(frame).shape == (1, *size)
    frames = list(Folder(root / "test", size))
    assert len(frames) == 5
    assert all(torch.equal(left.image, right.image) for left, right in zip(labelled, frames, strict=False))
    assert frames[0].truth is None
    assert Folder(root / "test", size).elsewhere(9) == []
    with pytest.raises(DataError, match="no pictures in it"):
        list(Folder(tmp_path, size))


def test_a_generated_drive_is_a_stream_with_classes() -> None:
    stream = Generated((48, 96), 2)
    first, second = stream
    assert first.image.shape == (1, 3, 48, 96)
    assert 0 < float((truth(first) != truth(second)).float().mean()) < 0.3
    assert set(truth(first).flatten().tolist()) <= {*range(19), 255}
    (other,) = stream.elsewhere(1)
    assert not torch.equal(other.image, first.image)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_things_weigh_more_than_what_they_stand_on(layout: str) -> None:
    labels = LAYOUTS[layout].labels
    heavy = {name for name, weight in zip(labels.names, weights_of(labels).tolist(), strict=True) if weight > 1}
    assert heavy == FOREGROUND & set(labels.names)
    assert {"road", "building", "sky"}.isdisjoint(heavy)
    assert "car" in heavy


def test_what_is_wrong_is_named() -> None:
    for wrong, said in (
        ({"least": 9, "most": 4}, "least: 9"),
        ({"updates": -1}, "updates: -1"),
        ({"agreement": 2.0}, "agreement: 2.0"),
    ):
        with pytest.raises(ValueError, match=said):
            Stride(**wrong)
    with pytest.raises(ValueError, match="height, width: 16×64"):
        Space(16, 64)
    with pytest.raises(ValueError, match="multiplier: 0"):
        Space(multiplier=0)
    with pytest.raises(ValueError, match="choice: "):
        plugin.network(SMALL, 0, (1,))


def camvid() -> Path:
    return Path(__file__).parents[3] / "shared" / "data" / "camvid"


@pytest.mark.skipif(not camvid().is_dir(), reason="no CamVid in ../shared/data")
def test_camvids_test_split_is_a_stream_of_its_drives() -> None:
    first, second = Labelled(camvid(), LAYOUTS["camvid"], "test", (90, 120), 2)
    assert 0.02 < float((truth(first) != truth(second)).float().mean()) < 0.5
    assert np.isin(truth(first).numpy(), (*range(11), 255)).all()


def test_a_folder_of_pictures_of_any_size(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (70, 50), (40 * number,) * 3).save(tmp_path / f"{number}.png")
    frames = list(Folder(tmp_path, (48, 64), 2))
    assert [frame.image.shape[2:] for frame in frames] == [(48, 64)] * 2
    assert float(frames[0].image.mean()) < float(frames[1].image.mean())
