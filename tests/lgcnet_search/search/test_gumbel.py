"""Eq. 4 against numpy, and the temperature's course."""

import itertools

import numpy as np
import pytest
import torch

from lgcnet_search.search.gumbel import relax, temperature_at


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.03])
def test_relaxation_is_equation_4(temperature: float) -> None:
    generator = np.random.default_rng(0)
    log_alpha, uniform = generator.normal(size=(5, 8)), generator.uniform(size=(5, 8))
    expected = np.empty_like(log_alpha)
    for edge in range(5):
        logits = [(log_alpha[edge, m] - np.log(-np.log(uniform[edge, m]))) / temperature for m in range(8)]
        powers = [np.exp(logit - max(logits)) for logit in logits]
        expected[edge] = [power / sum(powers) for power in powers]
    z = relax(torch.from_numpy(log_alpha), torch.from_numpy(uniform), temperature)
    np.testing.assert_allclose(z.numpy(), expected, rtol=1e-10, atol=1e-10)
    assert not ((z > 0) & (z < 1e-10)).any()


def test_candidates_win_as_often_as_their_probability() -> None:
    """The Gumbel-max property: argmax Z is distributed as Softmax(log α)."""
    log_alpha = torch.tensor([0.0, 1.0, -1.0, 0.5])
    uniform = torch.rand(40_000, 4, generator=torch.Generator().manual_seed(0))
    wins = relax(log_alpha.expand(40_000, 4), uniform, 0.03).argmax(dim=-1).bincount(minlength=4) / 40_000
    torch.testing.assert_close(wins, torch.softmax(log_alpha, dim=0), atol=0.01, rtol=0)


def test_a_uniform_zero_gives_finite_values_and_gradients() -> None:
    log_alpha = torch.zeros(3, requires_grad=True)
    z = relax(log_alpha, torch.tensor([0.0, 0.5, 0.9]), 0.03)
    torch.autograd.backward(z[1])
    assert log_alpha.grad is not None
    assert log_alpha.grad.isfinite().all()


def test_temperature_decays_by_equal_ratios() -> None:
    course = [temperature_at(step, 101) for step in range(101)]
    assert course[0] == 1.0
    assert course[-1] == pytest.approx(0.03)
    ratios = [after / before for before, after in itertools.pairwise(course)]
    assert ratios == pytest.approx([0.03 ** (1 / 100)] * 100)
    assert temperature_at(0, 1) == 1.0
