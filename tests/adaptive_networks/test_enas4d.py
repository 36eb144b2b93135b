"""ENAS4D's members against their counts; what a member has of the once-for-all network; the search."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adaptive_networks.core.distill import divergence
from adaptive_networks.core.evolve import chosen, named, search
from adaptive_networks.core.exits import CeilingTooLow
from adaptive_networks.core.images import Judged
from adaptive_networks.core.plugin import Choice
from adaptive_networks.enas4d.operations import DEFINITION
from adaptive_networks.enas4d.space import SETTINGS, Space
from adaptive_networks.enas4d.supernet import Supernet
from adaptive_networks.enas4d.train import SandwichLoss
from latency_tables.contract import OperationSpec
from lgcnet_search.space.network import seeded

SPACE = SETTINGS["demo"]


def macs_m(choice: Choice) -> list[float]:
    plan = SPACE.plan(choice)
    return [
        round(sum(DEFINITION.count(step.operation)[1] for step in plan.path(exit)) / 1e6, 2)
        for exit in range(len(plan.exits))
    ]


def test_counts_of_the_largest_and_the_smallest_members() -> None:
    assert len(SPACE.genes) == 31
    assert macs_m(SPACE.largest) == [5.26, 12.22]
    parameters = sum(DEFINITION.count(step.operation)[0] for step in SPACE.plan().steps)
    assert round(parameters / 1e3, 1) == 62.7
    assert macs_m(SPACE.smallest) == [0.93, 2.31]
    assert macs_m((1, *SPACE.smallest[1:])) == [1.66, 4.11]


def test_the_rows_are_those_of_all_members() -> None:
    rows, seen = set(SPACE.operations), set[OperationSpec]()
    for seed in range(150):
        seen.update(SPACE.plan(SPACE.random(random.Random(seed))).operations)
    assert seen == rows
    assert len(rows) == 88, "in the first unit, a stage's layers are of one shape"


def supernet(seed: int = 0) -> Supernet:
    with seeded(seed):
        made = Supernet(SPACE, steps=3)
        made.train()
        made(torch.randn(4, 3, 32, 32))
        return made


@pytest.mark.parametrize("seed", range(3))
def test_a_member_cut_out_is_the_supernet_at_its_genes(seed: int) -> None:
    """With the batch's statistics, as in training."""
    whole, choice = supernet(), SPACE.random(random.Random(seed))
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = whole.run(choice, images)
        for logits, member in zip(whole.member(choice).train()(images), expected, strict=True):
            torch.testing.assert_close(logits, member)


def test_members_are_trained_through_the_largest_one_s_weights_and_leave_its_statistics() -> None:
    whole = supernet()
    before = {name: value.clone() for name, value in whole.largest.named_buffers()}
    torch.autograd.backward(torch.stack(whole.run(SPACE.smallest, torch.randn(4, 3, 32, 32))).sum())
    expand = whole.largest.get_parameter("stage1.unit0.layer0.expand.0.weight")
    assert expand.grad is not None
    assert float(expand.grad[:16].abs().max()) > 0
    assert float(expand.grad[16:].abs().max()) == 0, "hidden channels that the smallest has not"
    kernel = whole.largest.get_parameter("stage1.unit0.layer0.depthwise.0.weight")
    assert kernel.grad is not None
    assert float(kernel.grad[..., 0].abs().max()) == 0, "outside the centre"
    assert all(torch.equal(value, before[name]) for name, value in whole.largest.named_buffers())


def test_the_largest_warms_up_alone() -> None:
    whole = supernet()
    assert [len(whole(torch.randn(2, 3, 32, 32))) for _ in range(2)] == [4, 4], "after one of three steps"
    with seeded(0):
        fresh = Supernet(SPACE, steps=9).train()
    assert [len(fresh(torch.randn(2, 3, 32, 32))) for _ in range(4)] == [1, 1, 1, 4]


def test_a_later_stage_leaves_the_exits_before_as_they_are() -> None:
    network = supernet().largest.eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = network(images)
        for parameter in network.get_submodule("stage1").parameters():
            parameter.mul_(2)
        after = network(images)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_one_stage_is_a_plain_network() -> None:
    space = Space(stem=(16,), widths=((16,), (32,), (64,)))
    plan = space.plan(space.smallest)
    assert len(plan.exits) == 1
    assert all(len(step.operation.input_shapes) == 1 for step in plan.steps)


def test_the_loss_teaches_all_but_the_largest_one_s_last_exit() -> None:
    outputs = tuple(tuple(torch.randn(3, 10) for _ in range(2)) for _ in range(2))
    targets, teacher = torch.arange(3), outputs[0][1]
    loss, count = SandwichLoss()(outputs, targets)
    parts = [F.cross_entropy(logits, targets, reduction="sum") for member in outputs for logits in member]
    parts += [divergence(logits, teacher) for logits in (outputs[0][0], *outputs[1])]
    assert int(count) == 3
    torch.testing.assert_close(loss, torch.stack(parts).sum())


def test_layers_that_are_not_there_have_no_genes() -> None:
    choice = SPACE.canonical((1, 0, 0, 0, 0, 0, 0, *[1] * 24))
    assert choice == (1, 0, 0, 0, 0, 0, 0, *[1, 1, 0, 0] * 6)
    assert SPACE.plan(choice) == SPACE.plan((1, 0, 0, 0, 0, 0, 0, *[1] * 24))
    assert chosen(SPACE, named(SPACE, choice)) == choice


def judged(choice: Choice) -> Judged:
    """The more a member has, the more images are right; later exits are right more often."""
    generator = np.random.default_rng(0)
    confidence = generator.random((2, 300))
    share = 0.3 + 0.5 * sum(choice) / len(choice)
    return Judged(confidence, generator.random((2, 300)) < np.array([[share], [share + 0.1]]))


def cost(choice: Choice) -> list[float]:
    return [10.0 + sum(choice), 20.0 + 2 * sum(choice)]


def test_the_search_stays_under_its_ceiling_and_repeats_itself() -> None:
    found = search(SPACE, cost, judged, 35.0, generations=4, population=8)
    assert all(member.cost_us <= 35.0 for member in found)
    assert all(cost(member.choice)[0] <= 35.0 for member in found)
    assert found[0].operating.accuracy == max(member.operating.accuracy for member in found)
    assert len({member.choice for member in found}) == len(found), "none is judged twice"
    again = search(SPACE, cost, judged, 35.0, generations=4, population=8)
    assert [member.choice for member in again] == [member.choice for member in found]
    for member in found:
        assert member.cost_us <= cost(member.choice)[-1]
    with pytest.raises(CeilingTooLow, match=r"the smallest member takes 0\.01 ms"):
        search(SPACE, cost, judged, 9.0, generations=1, population=2)


def test_with_a_floor_members_are_as_slow_as_they_may_be() -> None:
    """Near the ceiling; or near the largest member, where that is faster than the ceiling."""
    for ceiling_us, least_us in ((35.0, 31.5), (1000.0, 0.9 * cost(SPACE.largest)[0])):
        found = search(SPACE, cost, judged, ceiling_us, generations=2, population=4, floor=0.9)
        assert len(found) > 4
        assert all(least_us <= cost(member.choice)[0] <= ceiling_us for member in found)


def test_the_search_finds_what_is_best_where_genes_do_not_depend_on_each_other() -> None:
    """Every gene adds accuracy and costs nothing: the largest member is the best."""

    def right(choice: Choice) -> Judged:
        share = 0.1 + 0.8 * sum(choice) / len(choice)
        return Judged(np.ones((1, 1000)), (np.arange(1000) < 1000 * share)[None])

    few = Space(stem=(16,), strides=(1,), widths=((16,),), depths=(2,))
    best = search(few, lambda _: [1.0], right, 2.0, generations=12, population=10)[0]
    assert best.choice == tuple(len(values) - 1 for values in few.genes.values())


@pytest.mark.parametrize("choice", [(0,), (2, *[0] * 30), (-1, *[0] * 30)])
def test_what_is_no_choice_is_refused(choice: Choice) -> None:
    with pytest.raises(ValueError, match="choice: "):
        SPACE.plan(choice)
