"""Parameters, multiply-adds and peak memory against values computed by hand."""

import pytest
import torch

from profiler_agent.measuring.costs import costs_of

SHAPE = ((1, 8, 16, 16),)
PLANE = 8 * 16 * 16


def test_a_convolution() -> None:
    costs = costs_of(torch.nn.Conv2d(8, 4, 3, padding=1), SHAPE, torch.float32)
    assert costs.parameters == 4 * 8 * 9 + 4
    assert costs.macs == 4 * 8 * 9 * 16 * 16
    assert costs.peak_memory_bytes == 4 * (costs.parameters + PLANE + PLANE // 2)


def test_a_depthwise_strided_convolution_of_a_batch_in_half_precision() -> None:
    module = torch.nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
    costs = costs_of(module, ((3, 8, 16, 16),), torch.float16)
    assert costs.parameters == 8 * 9
    assert costs.macs == 3 * 8 * 9 * 8 * 8
    assert costs.peak_memory_bytes == 2 * (costs.parameters + 3 * PLANE + 3 * PLANE // 4)


def test_a_matrix_product_of_two_inputs() -> None:
    class Product(torch.nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return left @ right

    costs = costs_of(Product(), ((5, 7), (7, 3)), torch.float32)
    assert (costs.parameters, costs.macs) == (0, 5 * 7 * 3)
    assert costs.peak_memory_bytes == 4 * (5 * 7 + 7 * 3 + 5 * 3)


@pytest.mark.parametrize(("inplace", "planes"), [(False, 2), (True, 1)])
def test_what_is_freed_meanwhile_does_not_count(inplace: bool, planes: int) -> None:
    chain = torch.nn.Sequential(torch.nn.ReLU(), *(torch.nn.ReLU(inplace) for _ in range(4)))
    costs = costs_of(chain, SHAPE, torch.float32)
    assert costs.macs == 0
    assert costs.peak_memory_bytes == 4 * PLANE * (1 + planes)


def test_the_module_itself_is_left_as_it_was() -> None:
    module = torch.nn.Conv2d(8, 4, 3).train()
    costs_of(module, SHAPE, torch.float16)
    assert module.weight.device.type == "cpu"
    assert module.weight.dtype == torch.float32
    assert module.training
