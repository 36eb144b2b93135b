"""ViT-ResNAS's networks against their counts; what members have of the super-network; how it is trained."""

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adaptive_networks.core.elastic import reorder
from adaptive_networks.core.mixing import MixedLoss, mixed
from adaptive_networks.core.plugin import Choice
from adaptive_networks.vit_resnas.operations import DEFINITION, Branch, SpatialReduction
from adaptive_networks.vit_resnas.plugin import space as plugin
from adaptive_networks.vit_resnas.space import DEMO, SETTINGS, Network, Space
from adaptive_networks.vit_resnas.supernet import Transformer
from latency_tables.contract import OperationSpec
from lgcnet_search.space.network import seeded


def counts(space: Space, choice: Choice) -> tuple[float, float]:
    """Billions of MACs, millions of parameters."""
    sizes = [DEFINITION.count(step.operation) for step in space.plan(choice).steps]
    return sum(macs for _, macs in sizes) / 1e9, sum(parameters for parameters, _ in sizes) / 1e6


@pytest.mark.parametrize(
    ("setting", "macs_g", "parameters_m", "in_training_m"),
    [
        ("res-tiny", "1.7944", "42.0", "42.8"),
        ("tiny", "1.783", "40.8", "41.5"),
        ("small", "2.846", "63.7", "64.6"),
        ("medium", "4.513", "96.4", "97.3"),
    ],
)
def test_macs_and_parameters_of_the_authors_networks(
    setting: str, macs_g: str, parameters_m: str, in_training_m: str
) -> None:
    network = SETTINGS[setting]
    assert isinstance(network, Network)
    macs, parameters = counts(*network)
    assert f"{macs:.{len(macs_g) - 2}f}" == macs_g
    assert f"{parameters:.1f}" == parameters_m
    with torch.device("meta"):
        training = Transformer(network.space, 1, choice=network.choice)
    assert f"{sum(parameter.numel() for parameter in training.parameters()) / 1e6:.1f}" == in_training_m


@pytest.mark.parametrize(("side", "macs_g"), [(280, "7.22"), (336, "10.74"), (392, "15.20")])
def test_macs_at_higher_resolutions(side: int, macs_g: str) -> None:
    medium = SETTINGS["medium"]
    assert isinstance(medium, Network)
    assert f"{counts(replace(medium.space, side=side), medium.choice)[0]:.2f}" == macs_g


@pytest.mark.parametrize(
    ("setting", "macs_g", "parameters_m"), [("tiny-space", "3.50", "84.8"), ("small-space", "6.26", "155.3")]
)
def test_counts_of_the_largest_members(setting: str, macs_g: str, parameters_m: str) -> None:
    space = SETTINGS[setting]
    assert isinstance(space, Space)
    macs, parameters = counts(space, space.largest)
    assert (f"{macs:.2f}", f"{parameters:.1f}") == (macs_g, parameters_m)


def test_counts_of_the_demonstration() -> None:
    largest, smallest = counts(DEMO, DEMO.largest), counts(DEMO, DEMO.smallest)
    assert [f"{1e3 * macs:.1f}" for macs, _ in (largest, smallest)] == ["20.9", "4.6"]
    assert [f"{parameters:.2f}" for _, parameters in (largest, smallest)] == ["2.04", "0.42"]


def test_the_rows_are_those_of_all_members() -> None:
    rows, seen = set(DEMO.operations), set[OperationSpec]()
    for seed in range(600):
        seen.update(DEMO.plan(DEMO.random(random.Random(seed))).operations)
    assert seen <= rows
    assert len(seen) > 0.95 * len(rows)
    assert Counter(row.name for row in rows) == {
        "patch_embed": 5,
        "attention": 3 * 5 * 4,
        "mlp": 3 * 5 * 7,
        "spatial_reduction": 2 * 25,
        "head": 5,
    }


def supernet(group: int = 0) -> Transformer:
    with seeded(0):
        return Transformer(DEMO, 24, group=group)


@pytest.mark.parametrize("seed", range(3))
def test_a_member_cut_out_is_the_super_network_at_its_genes(seed: int) -> None:
    whole, choice = supernet().eval(), DEMO.random(random.Random(seed))
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        tokens = whole.body.network.get_submodule("embed")(images)
        (expected,) = whole.member(choice).eval()(images)
        torch.testing.assert_close(whole.run(choice, tokens)[:, 0], expected)


def test_groups_on_one_member_are_the_plain_network() -> None:
    """In the first part of the warm-up all groups take the largest member."""
    images = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        (grouped, *_), (plain, *_) = supernet(group=2).train()(images), supernet().train()(images)
    torch.testing.assert_close(grouped, plain)


def test_after_the_warm_up_groups_take_members_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, taken = supernet(group=2).train(), list[Choice]()
    run = whole.run

    def watched(choice: Choice, tokens: Tensor) -> Tensor:
        taken.append(choice)
        return run(choice, tokens)

    monkeypatch.setattr(whole, "run", watched)
    images = torch.randn(8, 3, 32, 32)
    for step in range(7):
        taken.clear()
        logits, *_ = whole(images)
        assert len(set(taken)) == (1 if step == 0 else 4)
    torch.autograd.backward(logits.sum())
    assert all(parameter.grad is not None for parameter in whole.body.network.get_submodule("embed").parameters())


def test_values_are_dealt_out_evenly() -> None:
    members = DEMO.dealt(20, 1.0, random.Random(0))
    assert Counter(member[0] for member in members) == dict.fromkeys(range(5), 4)
    assert Counter(member[2] for member in members) == dict.fromkeys(range(4), 5), (
        "heads of a block that is always there"
    )
    assert DEMO.dealt(2, 0.0, random.Random(0)) == [DEMO.largest] * 2
    half = DEMO.dealt(20, 0.5, random.Random(0))
    assert {member[0] for member in half} == {2, 3, 4}, "the largest values come first"


def test_reordering_leaves_the_largest_member_as_it_is() -> None:
    network = supernet().body.network.eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        (before,) = network(images)
        for branch in [module for module in network.modules() if isinstance(module, Branch)]:
            weights = branch.expand.weight.clone()
            reorder(branch.expand, branch.project, branch.units)
            assert not torch.equal(branch.expand.weight, weights)
            parts = [branch.expand.weight, branch.expand.bias[:, None], branch.project.weight.T]
            norms = sum((part.reshape(branch.units, -1).abs().sum(dim=1) for part in parts), torch.zeros(()))
            assert torch.all(norms.diff() <= 1e-5 * norms[0])
        (after,) = network(images)
    torch.testing.assert_close(after, before)


def test_without_weights_a_reduction_pools_and_pads() -> None:
    reduction = SpatialReduction((1 + 16, 4), out_channels=6)
    for part in (reduction.patches, reduction.token):
        for parameter in part.parameters():
            nn.init.zeros_(parameter)
    nn.init.zeros_(reduction.position)
    tokens = torch.randn(2, 17, 4)
    with torch.no_grad():
        reduced = reduction(tokens)
    assert torch.equal(reduced[:, 0], F.pad(tokens[:, 0], (0, 2)))
    pooled = tokens[:, 1:].reshape(2, 2, 2, 2, 2, 4).mean(dim=(2, 4)).flatten(1, 2)
    torch.testing.assert_close(reduced[:, 1:], F.pad(pooled, (0, 2)))


def test_a_dropped_branch_is_the_identity() -> None:
    (spec,) = [step.operation for step in DEMO.plan().steps if step.name == "stage0.block0.mlp"]
    branch = DEFINITION.build(spec)
    assert isinstance(branch, Branch)
    branch.dropped = 0.5
    tokens = torch.randn(200, *spec.input_shapes[0])
    with torch.no_grad(), seeded(0):
        added, whole = branch.train()(tokens) - tokens, branch.eval()(tokens) - tokens
    kept = added.abs().amax(dim=(1, 2)) > 0
    assert 70 < int(kept.sum()) < 130
    torch.testing.assert_close(added[kept], 2 * whole[kept], rtol=1e-3, atol=1e-5)


def test_images_are_mixed_and_targets_as_they_are() -> None:
    """Images that say their number everywhere say of themselves what they are made of."""
    images = torch.arange(8.0)[:, None, None, None].expand(8, 3, 8, 8)
    for seed in range(10):
        with seeded(seed):
            made, shares, others = mixed(images, 2)
        areas = made.mean(dim=1).reshape(8, 2, 4, 2, 4).mean(dim=(2, 4)).flatten(1)
        own, other = torch.arange(8.0)[:, None], others[:, None]
        torch.testing.assert_close(areas, shares * own + (1 - shares) * other)
        assert set(shares[:4].flatten().tolist()) <= {0.0, 1.0}
        assert 0 < float(shares[4:].mean()) < 1


def test_the_loss_is_that_of_its_parts() -> None:
    logits, targets = torch.randn(4, 5, 10), torch.arange(4)
    loss, count = MixedLoss()((logits, torch.ones(4, 4), targets.flip(0)), targets)
    parts = [F.cross_entropy(logits[:, token], targets, reduction="sum", label_smoothing=0.1) for token in range(5)]
    assert int(count) == 4
    torch.testing.assert_close(loss, parts[0] + sum(parts[1:], torch.zeros(())) / 4)
    shares = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(4, 4)
    loss, _ = MixedLoss(smoothing=0)((logits, shares, targets.flip(0)), targets)

    def cross_entropy(token: int, wanted: Tensor) -> Tensor:
        return F.cross_entropy(logits[:, token], wanted, reduction="sum")

    other = targets.flip(0)
    whole = 0.25 * cross_entropy(0, targets) + 0.75 * cross_entropy(0, other)
    patches = cross_entropy(1, targets) + sum((cross_entropy(token, other) for token in (2, 3, 4)), torch.zeros(()))
    torch.testing.assert_close(loss, whole + patches / 4)


def test_what_is_no_space_is_refused() -> None:
    with pytest.raises(ValueError, match="side: 40 is no multiple of 16"):
        replace(DEMO, side=40)
    with pytest.raises(ValueError, match="heads: "):
        replace(DEMO, heads=((3,),))
    with pytest.raises(ValueError, match=r"choice: s0\.width is 5, it has 5 values"):
        plugin.network(DEMO, 0, (5, *DEMO.smallest[1:]))
