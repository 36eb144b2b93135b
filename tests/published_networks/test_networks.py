"""Every network at a tiny input: shapes, folding, heads, sizes against the papers' claims."""

import pytest
import torch
from torch import nn

from published_networks.catalogue import FROM_LIBRARIES, NETWORKS
from published_networks.convention import Convention
from published_networks.counting import CLAIMED, count, count_network, counted_claims
from published_networks.facts import CLAIMS, ENTRIES, FOUND
from published_networks.modules import fold
from published_networks.networks.blocks import area_means
from published_networks.networks.enet import Down, Up
from published_networks.plugin import operation, space

SIZE = (64, 96)
WITHOUT_AUXILIARY = {"enet", "lr-aspp", "segformer-b0"}
IMAGES = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_and_dropping_heads_change_no_logits(name: str) -> None:
    """BatchNorms get statistics and factors of their own: at their initial ones folding would show nothing."""
    auxiliary = name not in WITHOUT_AUXILIARY
    convention = Convention(folded=False, auxiliary=auxiliary)
    try:
        module = space.build_operation(operation(name, *SIZE, convention=convention))
    except ImportError as error:
        assert name in FROM_LIBRARIES
        pytest.skip(str(error))
    generator = torch.Generator().manual_seed(2)
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.normal_(std=0.1, generator=generator)
        layer.running_var.uniform_(0.8, 1.25, generator=generator)
        layer.bias.normal_(std=0.1, generator=generator)
    with torch.inference_mode():
        trained = module(IMAGES)
        folded = fold(module)(IMAGES)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in module.modules()) < len(norms) / 3
    assert not module.training
    assert isinstance(trained, tuple) == auxiliary
    logits, folded_logits = (value[0] if auxiliary else value for value in (trained, folded))
    scale = float(logits.abs().max())
    # Neither denormals, which are slow, nor anything that half precision cannot hold.
    assert 1e-3 < scale < 1e3
    assert logits.shape == (1, 19, *SIZE)
    torch.testing.assert_close(folded_logits, logits, rtol=0, atol=1e-4 * scale)


def test_without_upsampling_logits_are_at_the_networks_stride() -> None:
    module = space.build_operation(operation("fast-scnn", *SIZE, 11, Convention(upsampling=False)))
    with torch.inference_mode():
        assert module(IMAGES).shape == (1, 11, SIZE[0] // 8, SIZE[1] // 8)


def test_equal_specs_have_equal_weights_and_torchs_generator_is_left_alone() -> None:
    spec = operation("fast-scnn", *SIZE)
    state = torch.random.get_rng_state()
    first, second = space.build_operation(spec), space.build_network(space.network(spec))
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.inference_mode():
        assert torch.equal(first(IMAGES), second(IMAGES))


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"name: 'unet' is not in space 'published'; it has bisenetv2, "):
        operation("unet", *SIZE)
    with pytest.raises(ValueError, match=r"auxiliary: ENet has no auxiliary heads"):
        space.build_operation(operation("enet", *SIZE, convention=Convention(auxiliary=True)))
    foreign = operation("enet", *SIZE).model_copy(update={"space_digest": "0" * 64})
    with pytest.raises(ValueError, match=r"with definition 000000000000… is not the one installed here"):
        space.build_operation(foreign)


def test_sizes_are_within_two_per_cent_of_the_claims_or_say_why_not() -> None:
    counted = list(counted_claims())
    assert {claim.of for claim in CLAIMS} - {item.claim.of for item in counted} <= FROM_LIBRARIES
    for item in counted:
        deviations = [rel for rel in (item.parameters_rel, item.macs_rel) if rel is not None]
        assert deviations, item.claim.of
        assert bool(item.claim.reason) == (max(map(abs, deviations)) > 0.02), f"{item.claim.of}: {deviations}"


def test_counts_are_those_of_the_arithmetic() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)).to("meta")
    assert count(layers, 10, 20) == (216 + 16 + 36, 50 * (216 + 32))
    assert count(layers, 10, 20, batch_norm=False)[0] == 216 + 36


def test_auxiliary_heads_are_counted_only_where_they_are_asked_for() -> None:
    for name in set(NETWORKS) - WITHOUT_AUXILIARY - FROM_LIBRARIES:
        bare, trained = (count_network(name, 64, 128, auxiliary=auxiliary) for auxiliary in (False, True))
        assert bare[0] < trained[0]
        assert bare[1] < trained[1]


def test_every_entry_is_measurable_and_has_its_facts() -> None:
    assert {entry.network for entry in ENTRIES} == {*NETWORKS, FOUND}
    assert {claim.of for claim in CLAIMS} <= set(CLAIMED)
    for entry in ENTRIES:
        assert entry.source, entry.title
        assert (entry.fps is None) == (not entry.card) == (not entry.runtime), entry.title
        assert entry.miou is None or 50 < entry.miou < 82


def test_unpooling_with_a_mask_is_max_unpooling() -> None:
    x = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(3))
    down, up = Down(4, 16).eval(), Up(16, 4).eval()
    with torch.inference_mode():
        value, mask = down(x)
        main = up.main(value)
        _, places = nn.functional.max_pool2d(x, 2, return_indices=True)
        expected = nn.functional.max_unpool2d(main, places, [2, 2])
        assert torch.equal(nn.functional.interpolate(main, scale_factor=2.0, mode="nearest") * mask, expected)


def test_windows_of_area_means_cover_the_picture() -> None:
    rows = torch.arange(7.0)[:, None].expand(7, 6)[None, None]
    assert torch.equal(area_means(rows, 3)[0, 0, :, 0], torch.tensor([1.0, 3.0, 5.0]))
    assert area_means(rows[..., :2, :3], 6).shape == (1, 1, 2, 3), "no more bins than pixels"
    divided = torch.randn(1, 2, 12, 18)
    torch.testing.assert_close(area_means(divided, 6), nn.functional.adaptive_avg_pool2d(divided, 6))
