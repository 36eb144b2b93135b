"""DANCE: what complexity decides, what is removed from data and network, and what an image then costs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.slimming import DIVISOR, kept_channels
from adaptive_networks.core.staged import StagedNetwork
from adaptive_networks.dance.choosing import AnswerCosts, under
from adaptive_networks.dance.deciding import Decisions
from adaptive_networks.dance.learning import (
    Arm,
    Deciding,
    Trained,
    at_ratio,
    complexities,
    image_loss,
    scales,
    slimmed,
    train,
)
from adaptive_networks.dance.operations import Complexity
from adaptive_networks.dance.plugin import space as plugin
from adaptive_networks.dance.space import LAYERS, SETTINGS, Space
from lgcnet_search.data.layouts import LAYOUTS
from lgcnet_search.data.segmentation import SegmentationFiles
from lgcnet_search.data.views import Resized
from lgcnet_search.space.network import seeded
from tests.support import layouts

SMALL = Space(height=48, width=64)
CPU = torch.device("cpu")


@pytest.mark.parametrize(("ratio", "macs_m"), [(0, 496), (1, 388), (2, 281), (3, 202), (4, 126)])
def test_macs_and_parameters_at_every_ratio(ratio: int, macs_m: int) -> None:
    """Of the network alone: the indicator adds 0.8 M."""
    counts = {step.name: plugin.definition.count(step.operation) for step in SETTINGS["camvid"].plan((ratio,)).steps}
    assert round(sum(macs for name, (_, macs) in counts.items() if name != "complexity") / 1e6) == macs_m
    assert round(sum(parameters for parameters, _ in counts.values()) / 1e6, 3) == 0.164


def test_only_what_decides_is_added_to_the_plain_network() -> None:
    plain, deciding = SETTINGS["camvid"].plan().multiset(0), SETTINGS["camvid"].plan((0,)).multiset(0)
    assert [operation.name for operation in (deciding - plain)] == ["complexity"]
    assert not plain - deciding


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_complexity_is_blind_to_brightness_and_flips_and_doubles_with_contrast(images: Tensor) -> None:
    module = Complexity(())
    found = module(images)
    assert float(module(torch.full((1, 3, 16, 24), 0.7))) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(module(2 * images), 2 * found)
    torch.testing.assert_close(module(images + 0.3), found)
    torch.testing.assert_close(module(images.flip(3)), found)
    torch.testing.assert_close(module(images.flip(2)), found)


def test_complexity_is_the_mean_gradient_of_a_ramp() -> None:
    """Grey values that rise by 0.02 a pixel, so by 0.04 between means of 2×2 pixels, as normalized images have them."""
    ramp = (0.02 * torch.arange(24.0)).expand(1, 3, 16, 24)
    normalized = ramp / torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)
    assert float(Complexity(())(normalized)) == pytest.approx(0.04)


def test_more_complex_images_are_seen_larger_dropped_less_and_weigh_more() -> None:
    known = np.random.default_rng(0).gamma(2.0, size=500).tolist()
    decisions = Decisions.by(known, 5)
    ordered = sorted([*known, 0.0, 99.0])
    for values in ([-decisions.ratio(each) for each in ordered], [decisions.weight(each) for each in ordered]):
        assert values == sorted(values)
    dropped = [decisions.dropped(each) for each in ordered]
    assert dropped == sorted(dropped, reverse=True)
    assert (dropped[0], dropped[-1]) == (0.5, 0)
    assert np.bincount([decisions.ratio(each) for each in known]).tolist() == [100] * 5
    assert np.mean([decisions.dropped(each) for each in known]) == pytest.approx(1 / 8, abs=0.002)
    assert {decisions.weight(0.0), decisions.weight(99.0)} == {0.5, 2.0}


@pytest.mark.parametrize("wrong", [[], [1.0, float("nan")]])
def test_complexities_that_decide_nothing_are_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="complexities: "):
        Decisions.by(wrong, 5)


@pytest.mark.parametrize("ratio", range(5))
def test_one_set_of_weights_gives_every_path(ratio: int) -> None:
    with seeded(0):
        network = plugin.staged(SMALL).eval()
        path = plugin.staged(SMALL, (ratio,)).eval()
    path.load_state_dict(network.state_dict(), strict=False)
    image = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        assert torch.equal(at_ratio(SMALL, network, image, ratio), path(image)[0])


def test_an_image_is_answered_at_the_ratio_of_its_complexity() -> None:
    deciding = Deciding(Trained(SMALL, plugin.staged(SMALL).eval(), None, 0), Decisions.by([0.1, 0.2, 0.3], 5))  # type: ignore[arg-type]
    for image, ratio in ((torch.zeros(1, 3, 48, 64), 4), (9 * torch.randn(1, 3, 48, 64), 0)):
        assert deciding(image).shape == (1, 11, 48, 64)
        assert deciding.taken[ratio] == 1


def slimmable(generator: torch.Generator) -> StagedNetwork:
    """With scales of its own, and statistics."""
    with seeded(3):
        network = plugin.staged(SMALL)
    network.train()
    with torch.no_grad():
        network(torch.randn(4, 3, 48, 64, generator=generator))
        for scale in scales(network).values():
            scale.copy_(torch.rand(scale.shape, generator=generator) + 0.1)
    return network.eval()


def test_removing_channels_without_scale_and_shift_changes_no_answer() -> None:
    generator = torch.Generator().manual_seed(0)
    network = slimmable(generator)
    gone = {layer: len(scale) // 2 for layer, scale in scales(network).items()}
    with torch.no_grad():
        for layer, scale in scales(network).items():
            silent = torch.randperm(len(scale), generator=generator)[: gone[layer]]
            scale[silent] = 0
            network.get_parameter(f"{layer}.layers.1.bias")[silent] = 0
    kept = kept_channels(scales(network), sum(gone.values()))
    smaller, slim = slimmed(SMALL, network, kept)
    assert smaller.widths == tuple(width // 2 for width in SMALL.widths)
    image = torch.randn(1, 3, 48, 64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(slim(image)[0], network(image)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("remove", [0, 50, 200, 400])
def test_the_smallest_scales_go_and_widths_stay_multiples(remove: int) -> None:
    found = scales(slimmable(torch.Generator().manual_seed(1)))
    kept = kept_channels(found, remove)
    widths = [len(kept[layer]) for layer in LAYERS]
    assert all(width % DIVISOR == 0 and width >= DIVISOR for width in widths)
    assert sum(SMALL.widths) - remove <= sum(widths) < sum(SMALL.widths) - remove + DIVISOR * len(LAYERS)
    for layer, indices in kept.items():
        gone = np.setdiff1d(np.arange(len(found[layer])), indices)
        assert all(found[layer][gone] <= found[layer][indices].min())
    with pytest.raises(ValueError, match="remove: 432 of 432 channels"):
        kept_channels(found, 432)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> SegmentationFiles:
    """Twelve small ones."""
    root = layouts.camvid(tmp_path_factory.mktemp("camvid"), 12)
    return LAYOUTS["camvid"].open(root, "train", Resized((48, 64)))


def test_without_slimming_it_is_plain_training(pictures: SegmentationFiles) -> None:
    """Step for step: SGD on the mean cross-entropy of one image after the other."""
    known = complexities(pictures)
    found = train(SMALL, pictures, Arm("plain", data=False), known, 2, 0.05, 7, CPU)
    with seeded(7):
        network = plugin.staged(SMALL).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    for step in range(24):
        epoch, place = divmod(step, 12)
        rng = np.random.default_rng((7, epoch))
        rng.random(12)
        image, target = pictures[int(rng.permutation(12)[place])]
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 24) ** 0.9
        loss = F.cross_entropy(network(image[None])[0], target[None], ignore_index=255)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert found.taken == {(SMALL, 0): 24}
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found.network.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_data_and_channels_are_slimmed_on_the_way(pictures: SegmentationFiles) -> None:
    known, heard = np.linspace(0.1, 1, 12).tolist(), list[float | None]()
    found = train(SMALL, pictures, Arm("both", data=True, channels=0.5), known, 8, 0.05, 0, CPU, heard.append)
    spaces = list(dict.fromkeys(space for space, _ in found.taken))
    assert [sum(space.widths) for space in spaces] == sorted((sum(space.widths) for space in spaces), reverse=True)
    assert len(spaces) == 4
    assert found.space == spaces[-1]
    assert found.network.plan == found.space.plan()
    executed = sum(found.taken.values())
    assert found.presented == len(heard) == 96
    assert heard.count(None) == 96 - executed
    kept = 96 - 8 * sum(0.5 * max(0.0, 1 - rank / 6) for rank in range(1, 13))
    assert abs(executed - kept) < 4 * np.sqrt(96) / 2
    by_ratio = [sum(count for (_, ratio), count in found.taken.items() if ratio == wanted) for wanted in range(5)]
    assert by_ratio[0] == 8 * 3
    assert by_ratio[-1] < 8 * 2


def test_channels_may_go_before_any_image_was_trained_on(pictures: SegmentationFiles) -> None:
    """Where chance leaves out all that come before."""
    known = np.linspace(0.1, 1, 12).tolist()

    def first_are_left_out(seed: int) -> bool:
        rng = np.random.default_rng((seed, 0))
        lots, order = rng.random(12), rng.permutation(12)
        return all(lots[index] < Decisions.by(known, 5).dropped(known[index]) for index in order[:3])

    seed = next(filter(first_are_left_out, range(10_000)))
    found = train(SMALL, pictures, Arm("both", data=True, channels=0.5), known, 1, 0.05, seed, CPU)
    assert sum(found.space.widths) < sum(SMALL.widths)


class Known(AnswerCosts):
    """A microsecond for a thousand MACs, and half as much again where channels are gone."""

    def __init__(self) -> None:
        object.__setattr__(self, "shares", {0: 0.25, 4: 0.75})

    def upper_us(self, space: Space, followed: bool = True) -> float:  # noqa: ARG002
        return (1.0 if space.widths == SMALL.widths else 1.5) * self.macs(space) / 1000


@pytest.mark.parametrize("of_whole", [2.0, 0.7, 0.5, 0.001])
def test_channels_go_until_a_ceiling_is_met_by_the_rows_of_what_stays(
    pictures: SegmentationFiles, of_whole: float
) -> None:
    """No channel where the whole network is under it, nearly all where nothing is."""
    costs = Known()
    ceiling_us = of_whole * costs.upper_us(SMALL)
    arm = Arm("both", data=True, channels=under(ceiling_us, costs, SMALL))
    found = train(SMALL, pictures, arm, np.linspace(0.1, 1, 12).tolist(), 4, 0.05, 0, CPU)
    assert found.network.plan == found.space.plan()
    assert (found.space == SMALL) == (of_whole == 2.0)
    assert (set(found.space.widths) == {DIVISOR}) == (of_whole == 0.001)
    if of_whole != 0.001:
        assert 0.3 * ceiling_us < costs.upper_us(found.space) <= ceiling_us


def test_an_images_loss_is_its_weight_times_the_mean_of_its_pixels_with_a_class() -> None:
    logits, target = torch.randn(1, 5, 4, 4), torch.randint(5, (1, 4, 4))
    target[0, 0] = 255
    expected = 0.7 * F.cross_entropy(logits, target, ignore_index=255)
    torch.testing.assert_close(image_loss(logits, target, 0.7), expected)
    assert float(image_loss(logits, torch.full((1, 4, 4), 255))) == 0


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match="channels: 1 is no share"):
        Arm("all", data=True, channels=1)
    with pytest.raises(ValueError, match="widths: "):
        replace(SMALL, widths=(1, 2))
    with pytest.raises(ValueError, match="ratios: "):
        replace(SMALL, ratios=(1.5,))
    with pytest.raises(ValueError, match="choice: "):
        plugin.network(SMALL, 0, (5,))


def camvid() -> Path:
    return Path(__file__).parents[3] / "shared" / "data" / "camvid"


@pytest.mark.skipif(not camvid().is_dir(), reason="no CamVid in ../shared/data")
def test_streets_are_more_complex_than_their_blurred_selves() -> None:
    pictures = LAYOUTS["camvid"].open(camvid(), "val", Resized((180, 240)))
    few = SegmentationFiles(pictures.files[::25], pictures.labels, pictures.views)
    sharp = complexities(few)
    blur = nn.AvgPool2d(9, 1, 4)
    blurred = [float(Complexity(())(blur(few[index][0][None]))) for index in range(len(few))]
    assert all(left > 1.2 * right for left, right in zip(sharp, blurred, strict=True))
