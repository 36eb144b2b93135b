"""Parameters, multiply-adds, peak memory and work against values computed by hand."""

import pytest
import torch

from profiler_agent.measuring.costs import counted

SHAPE = ((1, 8, 16, 16),)
PLANE = 8 * 16 * 16


def test_a_convolution() -> None:
    costs = counted(torch.nn.Conv2d(8, 4, 3, padding=1), SHAPE, torch.float32).costs
    assert costs.parameters == 4 * 8 * 9 + 4
    assert costs.macs == 4 * 8 * 9 * 16 * 16
    assert costs.peak_memory_bytes == 4 * (costs.parameters + PLANE + PLANE // 2)


def test_a_depthwise_strided_convolution_of_a_batch_in_half_precision() -> None:
    module = torch.nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
    costs = counted(module, ((3, 8, 16, 16),), torch.float16).costs
    assert costs.parameters == 8 * 9
    assert costs.macs == 3 * 8 * 9 * 8 * 8
    assert costs.peak_memory_bytes == 2 * (costs.parameters + 3 * PLANE + 3 * PLANE // 4)


def test_a_matrix_product_of_two_inputs() -> None:
    class Product(torch.nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return left @ right

    costs = counted(Product(), ((5, 7), (7, 3)), torch.float32).costs
    assert (costs.parameters, costs.macs) == (0, 5 * 7 * 3)
    assert costs.peak_memory_bytes == 4 * (5 * 7 + 7 * 3 + 5 * 3)


@pytest.mark.parametrize(("inplace", "planes"), [(False, 2), (True, 1)])
def test_what_is_freed_meanwhile_does_not_count(inplace: bool, planes: int) -> None:
    chain = torch.nn.Sequential(torch.nn.ReLU(), *(torch.nn.ReLU(inplace) for _ in range(4)))
    costs = counted(chain, SHAPE, torch.float32).costs
    assert costs.macs == 0
    assert costs.peak_memory_bytes == 4 * PLANE * (1 + planes)


def test_the_module_itself_is_left_as_it_was() -> None:
    module = torch.nn.Conv2d(8, 4, 3).train()
    counted(module, SHAPE, torch.float16)
    assert module.weight.device.type == "cpu"
    assert module.weight.dtype == torch.float32
    assert module.training


def test_the_work_of_a_depthwise_separable_block() -> None:
    """Each of three operators reads its input and writes its output; weights are apart; only one is depthwise."""
    block = torch.nn.Sequential(
        torch.nn.Conv2d(8, 8, 3, padding=1, groups=8), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1, bias=False)
    )
    work = counted(block, SHAPE, torch.float32).work
    assert (work.launches, work.weights) == (3, 8 * 9 + 8 + 8 * 4)
    assert work.elements == 2 * PLANE + 2 * PLANE + PLANE + PLANE // 2
    assert (work.depthwise_macs, work.macs) == (9 * PLANE, 9 * PLANE + 4 * 8 * 256)


def test_a_convolution_to_one_channel_or_from_one_is_not_depthwise() -> None:
    for module, channels in ((torch.nn.Conv2d(1, 8, 3), 1), (torch.nn.ConvTranspose2d(8, 1, 3), 8)):
        assert counted(module, ((1, channels, 16, 16),), torch.float32).work.depthwise_macs == 0


def test_a_view_is_no_work() -> None:
    work = counted(torch.nn.Flatten(), SHAPE, torch.float32).work
    assert (work.launches, work.elements) == (0, 0)
