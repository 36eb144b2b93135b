"""RANet's networks against the counts and shapes of the paper's; its loss."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F

from adaptive_networks.core.plan import Plan
from adaptive_networks.ranet.operations import DEFINITION
from adaptive_networks.ranet.plugin import space as plugin
from adaptive_networks.ranet.space import SETTINGS, Space
from adaptive_networks.ranet.train import ExitsLoss
from lgcnet_search.space.network import seeded

CIFAR = (
    (15.74, 0.470),
    (31.17, 1.074),
    (44.46, 1.477),
    (50.15, 1.868),
    (60.31, 2.166),
    (63.30, 2.453),
    (89.52, 2.872),
    (94.25, 3.262),
)
IMAGENET = (
    (432, 14.1),
    (886, 48.1),
    (1150, 60.1),
    (1349, 78.7),
    (2275, 101.0),
    (2584, 130.2),
    (3228, 139.1),
    (3326, 149.1),
)
DEMO = ((8.32, 0.347), (11.68, 0.583), (13.80, 0.771))

BLOCKS = {
    "demo": "112@8 35@8 59@8 17@16 18@8 30@8",
    "cifar10": "160@8 256@8 100@16 92@8 140@8 188@8 50@32 46@16 87@16 69@8 93@8 117@8 "
    "50@32 46@32 87@32 138@16 101@16 156@8 180@8 204@8",
    "imagenet": "768@7 1280@7 480@14 460@7 716@7 972@7 480@28 460@14 895@14 719@7 975@7 1231@7 "
    "240@56 230@28 447@28 359@14 608@14 460@7 588@7 716@7",
}
"""Channels @ side behind every block."""


@pytest.mark.parametrize(
    ("setting", "exit", "macs_m", "parameters_m"),
    [
        (setting, exit, *counts)
        for setting, table in (("demo", DEMO), ("cifar10", CIFAR), ("imagenet", IMAGENET))
        for exit, counts in enumerate(table)
    ],
)
def test_macs_and_parameters_of_every_exit(setting: str, exit: int, macs_m: float, parameters_m: float) -> None:
    counts = [DEFINITION.count(step.operation) for step in plan_of(setting).path(exit)]
    digits = (2, 3) if macs_m < 100 else (0, 1)
    assert round(sum(macs for _, macs in counts) / 1e6, digits[0]) == macs_m
    assert round(sum(parameters for parameters, _ in counts) / 1e6, digits[1]) == parameters_m


@pytest.mark.parametrize("setting", BLOCKS)
def test_channels_and_sides_behind_every_block(setting: str) -> None:
    steps = plan_of(setting).steps
    shapes = {}
    for step in steps:
        prefix, _, kind = step.name.rpartition(".")
        if kind not in ("head", "gate") and "block" in prefix:
            channels, side, _ = DEFINITION.output(step.operation)
            shapes[prefix] = f"{channels}@{side}"
    assert " ".join(shapes.values()) == BLOCKS[setting]


@cache
def plan_of(setting: str) -> Plan:
    return SETTINGS[setting].plan()


def test_a_finer_sub_network_leaves_the_exits_before_as_they_are() -> None:
    with seeded(0):
        network = plugin.staged(SETTINGS["demo"]).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = network(images)
        for parameter in network.get_submodule("sub2").parameters():
            parameter.mul_(2)
        after = network(images)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert not torch.equal(before[2], after[2])


def test_one_sub_network_is_a_plain_dense_network() -> None:
    plan = Space(scales=(1,), factors=(2,), blocks=3).plan()
    assert len(plan.exits) == 3
    assert {step.operation.name for step in plan.steps} == {"conv", "dense_layer", "head", "gate"}


def test_the_loss_is_the_sum_over_exits() -> None:
    outputs = tuple(torch.randn(5, 10) for _ in range(3))
    targets = torch.arange(5)
    loss, count = ExitsLoss()(outputs, targets)
    assert int(count) == 5
    torch.testing.assert_close(loss / 5, torch.stack([F.cross_entropy(each, targets) for each in outputs]).sum())


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"factors": (1, 2)}, "factors: "), ({"scales": (3, 2, 1, 1)}, "scales: "), ({"side": 8}, "side: 8 leaves 2")],
)
def test_what_is_no_setting_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Space(**fields)  # type: ignore[arg-type]
