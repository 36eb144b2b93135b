"""DDNN's depths against the counts of residual networks; what the full net teaches its sub-nets."""

import pytest
import torch
import torch.nn.functional as F

from adaptive_networks.core.distill import attention_distance, divergence
from adaptive_networks.core.plugin import Choice
from adaptive_networks.ddnn.operations import DEFINITION
from adaptive_networks.ddnn.plugin import space as plugin
from adaptive_networks.ddnn.space import SETTINGS
from adaptive_networks.ddnn.train import Depths, EmbeddedDistillation, subnet_of
from lgcnet_search.space.network import seeded

COUNTS = [
    ("cifar10", (3, 3, 3), 40.55, 0.270),
    ("cifar10", (5, 5, 5), 68.86, 0.464),
    ("cifar10", (7, 7, 7), 97.17, 0.659),
    ("cifar10", (9, 9, 9), 125.49, 0.853),
    ("resnet34", (2, 2, 2, 2), 1814, 11.69),
    ("resnet34", (3, 4, 6, 3), 3664, 21.80),
    ("resnet101", (2, 2, 2, 2), 2342, 16.00),
    ("resnet101", (3, 4, 6, 3), 4089, 25.56),
    ("resnet101", (3, 4, 23, 3), 7801, 44.55),
    ("demo", (1, 1, 1), 3.17, None),
    ("demo", (2, 2, 2), 6.71, None),
    ("demo", (3, 3, 3), 10.25, 0.068),
]


@pytest.mark.parametrize(("setting", "depths", "macs_m", "parameters_m"), COUNTS)
def test_macs_and_parameters_of_every_depth(
    setting: str, depths: Choice, macs_m: float, parameters_m: float | None
) -> None:
    space = SETTINGS[setting].space
    counts = [DEFINITION.count(step.operation) for step in space.plan(depths).steps]
    assert round(sum(macs for _, macs in counts) / 1e6, 2 if macs_m < 1000 else 0) == macs_m
    if parameters_m is not None:
        assert round(sum(parameters for parameters, _ in counts) / 1e6, 3 if parameters_m < 1 else 2) == parameters_m


@pytest.mark.parametrize(("setting", "rows"), [("cifar10", 7), ("resnet34", 9), ("resnet101", 10)])
def test_all_depths_share_few_rows(setting: str, rows: int) -> None:
    space, nets = SETTINGS[setting].space, SETTINGS[setting].nets
    assert len({operation for net in nets for operation in space.plan(net).operations}) == rows


def test_a_cut_net_is_the_sub_net_of_its_weights() -> None:
    setting = SETTINGS["demo"]
    with seeded(0):
        depths = Depths(setting.space, setting.nets, 8).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for net, (logits, *maps) in zip(setting.nets, depths(images), strict=True):
            (expected,) = subnet_of(setting.space, net, depths.whole).eval()(images)
            assert torch.equal(logits, expected)
            assert [tuple(each.shape[1:]) for each in maps] == [(8, 32, 32), (16, 16, 16), (32, 8, 8)]
    assert sum(p.numel() for p in depths.parameters()) == sum(
        DEFINITION.count(step.operation)[0] for step in setting.space.plan().steps
    )


def test_every_depth_adds_a_repeat_of_its_stage() -> None:
    space = SETTINGS["demo"].space
    before, after = space.plan((2, 1, 1)).multiset(0), space.plan((2, 2, 1)).multiset(0)
    (added,) = (after - before).items()
    assert (added[0].name, added[0].input_shapes, added[1]) == ("basic_block", ((16, 16, 16),), 1)
    assert not before - after


def test_without_distillation_the_loss_is_two_cross_entropies() -> None:
    outputs = tuple((torch.randn(4, 10, requires_grad=True), torch.randn(4, 3, 5, 5)) for _ in range(2))
    targets = torch.arange(4)
    loss, count = EmbeddedDistillation(kl=0, attention=0)(outputs, targets)
    plain = sum(F.cross_entropy(logits, targets) for logits, _ in outputs)
    torch.testing.assert_close(loss / int(count), plain)


def test_distillation_sets_in_while_the_full_net_learns() -> None:
    setting = SETTINGS["demo"]
    depths = Depths(setting.space, setting.nets, steps=4)
    strengths = [depths.strength]
    for _ in range(4):
        depths(torch.randn(2, 3, 32, 32))
        strengths.append(depths.strength)
    assert strengths == [0, 0.5, 1, 1, 1]
    assert depths.state_dict()["done"] == 4  # a training that goes on continues there
    depths.eval()(torch.randn(2, 3, 32, 32))
    outputs = tuple((torch.randn(4, 10), torch.randn(4, 3, 5, 5)) for _ in range(2))

    def loss_at(strength: float) -> float:
        return float(EmbeddedDistillation(strength=lambda: strength)(outputs, torch.arange(4))[0])

    losses = [loss_at(strength) for strength in (0.0, 0.5, 1.0)]
    assert depths.strength == 1
    assert losses[0] == pytest.approx(float(EmbeddedDistillation(kl=0, attention=0)(outputs, torch.arange(4))[0]))
    assert losses[1] == pytest.approx((losses[0] + losses[2]) / 2)
    assert losses[2] > losses[0]


def test_distillation_does_not_reach_the_full_net() -> None:
    full, cut = (torch.randn(4, 10, requires_grad=True) for _ in range(2))
    full_map, cut_map = (torch.randn(4, 3, 5, 5, requires_grad=True) for _ in range(2))
    torch.autograd.backward(divergence(cut, full, 3) + attention_distance(cut_map, full_map))
    assert (full.grad, full_map.grad) == (None, None)
    assert cut.grad is not None
    assert cut_map.grad is not None


def test_attention_compares_where_and_not_how_much() -> None:
    maps = torch.randn(3, 4, 6, 6)
    assert float(attention_distance(5 * maps, maps)) == pytest.approx(0, abs=1e-4)
    assert float(attention_distance(maps.flip(3), maps)) > 0.1


def test_the_divergence_is_that_of_its_formula() -> None:
    student, teacher = torch.randn(3, 5), torch.randn(3, 5)
    p, q = (teacher / 2).softmax(1), (student / 2).softmax(1)
    torch.testing.assert_close(divergence(student, teacher, 2.0), 4 * (p * (p / q).log()).sum())
    assert float(divergence(teacher, teacher)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("choice", [(4, 1, 1), (0, 1, 1), (1, 1)])
def test_a_depth_that_the_full_net_has_not_is_refused(choice: Choice) -> None:
    with pytest.raises(ValueError, match="choice: "):
        plugin.network(SETTINGS["demo"].space, 0, choice)
