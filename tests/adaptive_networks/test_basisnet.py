"""BasisNet's counts against the paper's, and what mixing kernels means."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from adaptive_networks.basisnet.operations import DEFINITION, Coefficients, MixedConvolution, MixedResidual
from adaptive_networks.basisnet.plugin import space as plugin
from adaptive_networks.basisnet.space import SETTINGS, STATIC, Space
from adaptive_networks.basisnet.train import Annealed, PreviewLoss
from adaptive_networks.core.blocks import initialize
from adaptive_networks.core.plan import Plan
from adaptive_networks.core.staged import deploy
from lgcnet_search.space.network import seeded


def counts(plan: Plan, exit: int) -> tuple[float, float]:
    """MACs and parameters in millions."""
    sizes = [DEFINITION.count(step.operation) for step in plan.path(exit)]
    return sum(macs for _, macs in sizes) / 1e6, sum(parameters for parameters, _ in sizes) / 1e6


def test_the_specialist_is_mobilenetv3_large() -> None:
    macs, parameters = counts(SETTINGS["imagenet"].plan(STATIC), 0)
    assert (round(macs, 1), round(parameters, 2)) == (216.6, 5.48)


def test_the_preview_is_mobilenetv3_small() -> None:
    macs, parameters = counts(SETTINGS["imagenet"].plan(), 0)
    assert (round(macs, 1), round(parameters, 2)) == (56.5, 2.54)


def test_the_whole_has_the_macs_of_the_paper() -> None:
    """290 M in its Table 1; mixing 16 bases of 1.115 M weights is 17.8 M of them."""
    plan = SETTINGS["imagenet"].plan()
    macs, _ = counts(plan, 1)
    assert macs == pytest.approx(290, rel=0.01)
    mixed = sum(
        parameter.numel()
        for step in plan.steps
        if step.operation.name.startswith("mixed")
        for name, parameter in DEFINITION.on_meta(step.operation).named_parameters()
        if name.endswith("weight") and parameter.dim() == 5
    )
    assert round(mixed / 1e6, 1) == 17.8


def test_the_demonstration_s_counts() -> None:
    """Coefficients count to the preview there, as if they were computed where it answers, too."""
    plan = SETTINGS["demo"].plan()
    coefficients = [DEFINITION.count(step.operation) for step in plan.steps if step.operation.name == "coefficients"]
    preview_macs, preview_parameters = counts(plan, 0)
    preview_macs += sum(macs for _, macs in coefficients) / 1e6
    preview_parameters += sum(parameters for parameters, _ in coefficients) / 1e6
    macs, parameters = counts(plan, 1)
    static_macs, _ = counts(SETTINGS["demo"].plan(STATIC), 0)
    assert (round(preview_macs, 2), round(static_macs, 2), round(macs, 2)) == (0.26, 6.36, 6.76)
    assert (round(1000 * preview_parameters, 1), round(1000 * parameters)) == (6.9, 177)


def mixed_block(shape: tuple[int, ...] = (8, 6, 6), stride: int = 1) -> MixedResidual:
    with seeded(0):
        block = MixedResidual(shape, (4,), kernel=3, hidden=24, out_channels=8, stride=stride, se=True)
        initialize(block)
        block.train()
        block(torch.randn(6, *shape), torch.rand(6, 4).softmax(1))
        return block.eval()


@pytest.mark.parametrize("base", range(4))
def test_a_mixture_of_one_basis_is_that_basis(base: int) -> None:
    with seeded(0):
        layer = MixedConvolution(4, 8, 16, 3, 2).eval()
        initialize(layer)
    x = torch.randn(3, 8, 7, 7)
    alpha = F.one_hot(torch.tensor([base] * 3), 4).float()
    assert layer.norm is not None
    expected = layer.norm(F.conv2d(x, layer.weight[base], stride=2, padding=1))
    torch.testing.assert_close(layer(x, alpha), expected)


def test_an_even_mixture_is_the_mean_of_the_bases() -> None:
    with seeded(0):
        layer = MixedConvolution(4, 8, 8, 3, groups=8).eval()
        initialize(layer)
    x = torch.randn(2, 8, 5, 5)
    assert layer.norm is not None
    expected = layer.norm(F.conv2d(x, layer.weight.mean(dim=0), padding=1, groups=8))
    torch.testing.assert_close(layer(x, torch.full((2, 4), 0.25)), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_images_at_once_equal_one_after_the_other_and_folding_changes_nothing(stride: int) -> None:
    block = mixed_block(stride=stride)
    x, alpha = torch.randn(5, 8, 6, 6), torch.rand(5, 4).softmax(1)
    with torch.no_grad():
        together = block(x, alpha)
        for index in range(5):
            single = block(x[index : index + 1], alpha[index : index + 1])
            torch.testing.assert_close(single[0], together[index], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(deploy(block)(x, alpha), together, rtol=1e-4, atol=1e-5)


def test_even_coefficients_teach_the_preview_nothing() -> None:
    operation = Coefficients((6,), bases=4).train()
    operation.even = 1.0
    features = torch.randn(3, 6, requires_grad=True)
    mixed: Tensor = operation(features)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(3))
    torch.autograd.backward((mixed * torch.randn(4)).sum())
    assert features.grad is not None
    assert float(features.grad.abs().max()) == 0


def test_mixing_is_annealed_over_the_first_half() -> None:
    with seeded(0):
        annealed = Annealed(plugin.staged(SETTINGS["demo"]), steps=4).train()
    images, found = torch.randn(2, 3, 32, 32), []
    (first, *_) = [module for module in annealed.modules() if isinstance(module, Coefficients)]
    for _ in range(4):
        annealed(images)
        found.append(first.even)
    assert found == [1.0, 0.5, 0.0, 0.0]


def test_the_loss_weighs_the_preview() -> None:
    outputs, targets = (torch.randn(4, 10), torch.randn(4, 10)), torch.arange(4)
    loss, count = PreviewLoss(0.5)(outputs, targets)
    preview, last = (F.cross_entropy(logits, targets) for logits in outputs)
    torch.testing.assert_close(loss / int(count), last + 0.5 * preview)


@pytest.mark.parametrize(
    "fields", [{"net": "other"}, {"preview_side": 15}, {"mixed": 0}, {"mixed": 6}, {"bases": 0}], ids=str
)
def test_what_is_no_setting_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(fields))}: "):
        Space(**fields)  # type: ignore[arg-type]
